// Istio's `Sidecar`: what the proxies of some workloads may call.
import { z } from "zod";
import { Labels, notYet } from "./fields.ts";

/** `spec` of a `Sidecar`. */
export const SidecarSpec = z.strictObject({
  /** Proxies whose workloads have these labels. None: every proxy of the namespace that no other Sidecar selects. */
  workloadSelector: z.strictObject({ labels: Labels.default({}) }).optional(),
  /** Connections that no ServiceEntry and no VirtualService is for. Without a Sidecar they go where they were going. */
  outboundTrafficPolicy: z.strictObject({
    /** `ALLOW_ANY`: to the address that the client called. `REGISTRY_ONLY`, Istio's default here: nowhere. */
    mode: z.enum(["REGISTRY_ONLY", "ALLOW_ANY"]).default("REGISTRY_ONLY"),
    ...notYet("egressProxy"),
  }),
  ...notYet("egress", "ingress", "inboundConnectionPool"),
});
export type SidecarSpec = z.infer<typeof SidecarSpec>;
