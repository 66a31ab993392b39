// The promise to filter authors: everything that `import … from "vespid"` offers.
export { z } from "zod";
export { allow, grant, refuse } from "./adapter-answer.ts";
export { BodyTooLargeError } from "./body.ts";
export { clientIp } from "./client-ip.ts";
export { compress, createCompressor, createDecompressor, decompress } from "./compression.ts";
export { defineAdapter } from "./define-adapter.ts";
export { defineFilter } from "./define-filter.ts";
export { duration } from "./duration.ts";
export { hash, hmac, timingSafeEqual } from "./hash.ts";
export { jsonSchema } from "./json-schema.ts";
export { linearRegExp } from "./linear-reg-exp.ts";
export { counter, gauge, histogram } from "./metric.ts";
export { dropCookie, readCookie, readQuery } from "./parameters.ts";
export { verifySignature } from "./signature.ts";
export { delimited, frames, lengthPrefixed, lines } from "./framing.ts";
export { respCommands } from "./resp-commands.ts";
export { respReplies } from "./resp-replies.ts";
export { proceed, reply } from "./verdict.ts";
export type { Allowed, AnswerKeeping, Granted, Refused, RefusalInit } from "./adapter-answer.ts";
export type { BodyModes, BodyTransform, BufferedBody, StreamedBody } from "./body.ts";
export type { BytesHandler, ConnectionHandlers, FilterConnection, Flow, Passed } from "./connection.ts";
export type { ByteStream, CompressionFormat, CompressionLevel, DecompressionLimit } from "./compression.ts";
export type { Content } from "./content.ts";
export type { FilterContext } from "./context.ts";
export type {
  AnyFilter,
  FilterDefinition,
  FilterLogEntry,
  FilterRequest,
  FilterResponse,
  FilterTrailers,
  Stage,
} from "./define-filter.ts";
export type { AdapterDefinition } from "./define-adapter.ts";
export type { FetchInit, UpstreamResponse } from "./fetch.ts";
export type { HashAlgorithm } from "./hash.ts";
export type { FilterHeaders } from "./headers.ts";
export type { AdapterInstance, AttributeTypes, InstanceType, QuotaInstance } from "./instance.ts";
export type { JsonSchema, SchemaProblem } from "./json-schema.ts";
export type { LinearMatch, LinearRegExp, TextSpan } from "./linear-reg-exp.ts";
export type { Counter, Gauge, Histogram } from "./metric.ts";
export type { OperationError } from "./port.ts";
export type { Jwk, SignatureAlgorithm } from "./signature.ts";
export type { FindEnd, FrameHandler, FramerOptions, LengthPrefix } from "./framing.ts";
export type { CommandHandler, RespCommand, RespOptions } from "./resp-commands.ts";
export type { DropReply, ReplyHandler, RespReply } from "./resp-replies.ts";
export type { ReplyInit, Verdict } from "./verdict.ts";
export type { CounterWindow, Increment, Keeping, Shared, SharedEntry } from "./shared.ts";
export type { Attribute } from "./wit/world.ts";
