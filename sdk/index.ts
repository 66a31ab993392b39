// The promise to filter authors: everything that `import … from "vespid"` offers.
export { z } from "zod";
export { defineFilter } from "./define-filter.ts";
export { proceed, reply } from "./verdict.ts";
export type {
  AnyFilter,
  FilterContext,
  FilterDefinition,
  FilterRequest,
  FilterResponse,
  Stage,
} from "./define-filter.ts";
export type { FilterHeaders } from "./headers.ts";
export type { ReplyInit, Verdict } from "./verdict.ts";
export type { Attribute } from "./wit/world.ts";
