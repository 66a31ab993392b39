// Which filters run native, by name. The only file that imports filters/.
import apiKey from "../filters/api-key/filter.ts";
import basicAuth from "../filters/basic-auth/filter.ts";
import bodyLimit from "../filters/body-limit/filter.ts";
import compress from "../filters/compress/filter.ts";
import cors from "../filters/cors/filter.ts";
import extAuth from "../filters/ext-auth/filter.ts";
import fault from "../filters/fault/filter.ts";
import headerRewrite from "../filters/header-rewrite/filter.ts";
import ipList from "../filters/ip-list/filter.ts";
import jwt from "../filters/jwt/filter.ts";
import rateLimit from "../filters/rate-limit/filter.ts";
import redact from "../filters/redact/filter.ts";
import redisGuard from "../filters/redis-guard/filter.ts";
import requestValidate from "../filters/request-validate/filter.ts";
import type { AnyFilter } from "../sdk/define-filter.ts";

/** Filters that a snapshot may name with `source: { kind: "builtin" }`. */
export const BUILTIN_FILTERS: ReadonlyMap<string, AnyFilter> = new Map(
  [
    apiKey,
    basicAuth,
    bodyLimit,
    compress,
    cors,
    extAuth,
    fault,
    headerRewrite,
    ipList,
    jwt,
    rateLimit,
    redact,
    redisGuard,
    requestValidate,
  ].map((filter) => [filter.name, filter]),
);
