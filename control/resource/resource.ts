// What may be wanted: the kinds of resources, and how a document becomes one or every problem with it.
import { z } from "zod";
import { parseWith, type Parsed } from "../../runtime/contract/problem.ts";
import { AdapterSpec } from "./adapter.ts";
import { DestinationRuleSpec } from "./destination-rule.ts";
import { Labels } from "./fields.ts";
import { FilterSpec } from "./filter.ts";
import { RuleSpec } from "./rule.ts";
import { ServiceEntrySpec } from "./service-entry.ts";
import { SidecarSpec } from "./sidecar.ts";
import { VirtualServiceSpec } from "./virtual-service.ts";

/** Resources of this namespace apply to every namespace, as Istio's root namespace. */
export const ROOT_NAMESPACE = "istio-system";

const ISTIO = z.enum(["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"]);
const OURS = z.literal("vespid.dev/v1");

/** RFC 1123 label: a namespace. */
export const Namespace = z.string().regex(/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/u, {
  error: (issue) =>
    `${JSON.stringify(issue.input)} is not a namespace: lower-case letters, digits and dashes, 63 at most`,
});
/** RFC 1123 subdomain: a resource's name. */
export const Name = z
  .string()
  .max(253)
  .regex(/^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/u, {
    error: (issue) => `${JSON.stringify(issue.input)} is not a name: lower-case letters, digits, dashes and dots`,
  });

/** What servers add to what they give out; taken and ignored, so that output can be applied again. */
const ADDED = {
  creationTimestamp: z.unknown().optional(),
  generation: z.unknown().optional(),
  managedFields: z.unknown().optional(),
  uid: z.unknown().optional(),
};

const Metadata = z.strictObject({
  name: Name,
  /** Default `default`. */
  namespace: Namespace.default("default"),
  labels: Labels.optional(),
  annotations: Labels.optional(),
  /** The change is refused unless this is still the resource's version. */
  resourceVersion: z.string().optional(),
  ...ADDED,
});

function resourceOf<Word extends string, Version extends z.ZodType<string>, Spec extends z.ZodType>(
  kind: Word,
  apiVersion: Version,
  spec: Spec,
) {
  const status = z.unknown().optional();
  return z.strictObject({ apiVersion, kind: z.literal(kind), metadata: Metadata, spec, status });
}

/** The schema of each kind. */
export const RESOURCES = {
  ServiceEntry: resourceOf("ServiceEntry", ISTIO, ServiceEntrySpec),
  DestinationRule: resourceOf("DestinationRule", ISTIO, DestinationRuleSpec),
  VirtualService: resourceOf("VirtualService", ISTIO, VirtualServiceSpec),
  Sidecar: resourceOf("Sidecar", ISTIO, SidecarSpec),
  Filter: resourceOf("Filter", OURS, FilterSpec),
  Adapter: resourceOf("Adapter", OURS, AdapterSpec),
  Rule: resourceOf("Rule", OURS, RuleSpec),
} as const;

export type ServiceEntry = z.infer<typeof RESOURCES.ServiceEntry>;
export type DestinationRule = z.infer<typeof RESOURCES.DestinationRule>;
export type VirtualService = z.infer<typeof RESOURCES.VirtualService>;
export type Sidecar = z.infer<typeof RESOURCES.Sidecar>;
export type Filter = z.infer<typeof RESOURCES.Filter>;
export type Adapter = z.infer<typeof RESOURCES.Adapter>;
export type Rule = z.infer<typeof RESOURCES.Rule>;
/** A resource that was checked by itself. */
export type Resource = ServiceEntry | DestinationRule | VirtualService | Sidecar | Filter | Adapter | Rule;
export type Kind = Resource["kind"];
export const KINDS = [
  "ServiceEntry",
  "DestinationRule",
  "VirtualService",
  "Sidecar",
  "Filter",
  "Adapter",
  "Rule",
] as const satisfies readonly Kind[];

/** Names a resource. */
export interface ResourceKey {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
}

/** Kind and names, for people: `VirtualService default/reviews`. */
export function renderKey({ kind, namespace, name }: ResourceKey): string {
  return `${kind} ${namespace}/${name}`;
}

export function keyOf({ kind, metadata }: Resource): ResourceKey {
  return { kind, namespace: metadata.namespace, name: metadata.name };
}

export function isKind(text: unknown): text is Kind {
  return KINDS.some((kind) => kind === text);
}

/** Shape, defaults and everything else that one document says about itself; all problems at once, below `at`. */
export function parseResource(document: unknown, at = ""): Parsed<Resource> {
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    return {
      ok: false,
      problems: [{ path: at, message: "must be an object with apiVersion, kind, metadata and spec" }],
    };
  }
  const kind = "kind" in document ? document.kind : undefined;
  if (!isKind(kind)) {
    const path = at === "" ? "kind" : `${at}.kind`;
    const message = kind === undefined ? "is required" : `${JSON.stringify(kind)} is not a kind that is supported`;
    return { ok: false, problems: [{ path, message: `${message}; these are: ${KINDS.join(", ")}` }] };
  }
  const schema: z.ZodType<Resource> = RESOURCES[kind];
  return parseWith(schema, document, at);
}
