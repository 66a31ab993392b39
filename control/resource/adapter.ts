// Our `Adapter`: a backend that rules ask before a request goes on, or tell once it has ended. What it calls is named as a
// service of the mesh; everything else is as proxies take it.
import { z } from "zod";
import {
  Adapter,
  checkListTimes,
  Deny,
  FilterBackend,
  Fluentd,
  List,
  Opa,
  Otlp,
  RedisQuota,
  Statsd,
  Stdout,
} from "../../runtime/contract/adapter.ts";
import { Digest } from "../../runtime/contract/bundle.ts";
import { Upstream } from "./filter.ts";

/** `spec` of an `Adapter`. */
export const AdapterSpec = z.strictObject({
  /** What is behind it, by `kind`. */
  backend: z.discriminatedUnion("kind", [
    Stdout,
    Statsd,
    Otlp.extend({ upstream: Upstream }),
    Fluentd,
    Deny,
    List.extend({ url: List.shape.url.unwrap().extend({ upstream: Upstream }).optional() }).superRefine(checkListTimes),
    RedisQuota,
    Opa.extend({ upstream: Upstream }),
    FilterBackend.extend({
      /** What `vespid filter push` printed of an adapter. */
      bundle: Digest,
      /** By the adapter's own names for them, each of which its manifest lists. */
      upstreams: z.record(z.string(), Upstream).default({}),
    }),
  ]),
  /** A request whose check or charge failed. Default: `closed` for checks, `open` for quotas. */
  failurePolicy: Adapter.shape.failurePolicy,
});
export type AdapterSpec = z.infer<typeof AdapterSpec>;
