// Istio's `ServiceEntry`: which services there are and where they run.
import { isIP } from "node:net";
import { z } from "zod";
import { ExportTo, Host, Labels, notYet, Port } from "./fields.ts";

const ServicePort = z.strictObject({
  number: Port,
  name: z.string().min(1),
  /** What is spoken on the port. */
  protocol: z
    .string()
    .toUpperCase()
    .refine((protocol) => protocol === "HTTP", {
      error: (issue) => `${JSON.stringify(issue.input)} is a protocol that is not supported yet, only "HTTP" is`,
    })
    .default("HTTP"),
  /** The port of the endpoints, where it differs. */
  targetPort: Port.optional(),
});
export type ServicePort = z.infer<typeof ServicePort>;

const WorkloadEndpoint = z.strictObject({
  /** IP address; with `DNS`, a host name too. */
  address: z.string().min(1),
  /** Port by the name of the service's port, where it differs from `targetPort`. */
  ports: z.record(z.string(), Port).default({}),
  /** What subsets choose by. */
  labels: Labels.default({}),
  /** Share of the requests. Default `1`. */
  weight: z.int().min(1).max(128).default(1),
  ...notYet("network", "locality", "serviceAccount"),
});

/** `spec` of a `ServiceEntry`. */
export const ServiceEntrySpec = z
  .strictObject({
    hosts: z.array(Host).min(1),
    ports: z.array(ServicePort).min(1),
    /** Inside or outside the mesh. Makes a difference only once identity does. Default `MESH_EXTERNAL`. */
    location: z.enum(["MESH_EXTERNAL", "MESH_INTERNAL"]).default("MESH_EXTERNAL"),
    /** `STATIC`: endpoints are IP addresses. `DNS`: names, resolved by the proxy; the hosts themselves when there are no endpoints. */
    resolution: z.enum(["STATIC", "DNS"], {
      error: (issue) =>
        `is ${JSON.stringify(issue.input) ?? "missing"}, must be STATIC or DNS (NONE, DNS_ROUND_ROBIN and DYNAMIC_DNS are not supported yet)`,
    }),
    endpoints: z.array(WorkloadEndpoint).max(10_000).default([]),
    exportTo: ExportTo,
    ...notYet("addresses", "workloadSelector", "subjectAltNames"),
  })
  .superRefine((spec, context) => {
    const issue = (path: PropertyKey[], message: string) => context.addIssue({ code: "custom", path, message });
    spec.hosts.forEach((host, index) => {
      if (host === "*") issue(["hosts", index], `"*" is not a host of a ServiceEntry`);
      if (host.startsWith("*") && spec.resolution === "DNS" && spec.endpoints.length === 0) {
        issue(["hosts", index], `${JSON.stringify(host)} cannot be resolved by DNS without endpoints`);
      }
    });
    if (spec.resolution === "STATIC" && spec.endpoints.length === 0) {
      issue(["endpoints"], "must name at least one endpoint with resolution STATIC");
    }
    const names = new Set(spec.ports.map(({ name }) => name));
    if (names.size < spec.ports.length) issue(["ports"], "must have different names");
    if (new Set(spec.ports.map(({ number }) => number)).size < spec.ports.length) {
      issue(["ports"], "must have different numbers");
    }
    spec.endpoints.forEach(({ address, ports }, index) => {
      if (spec.resolution === "STATIC" && isIP(address) === 0) {
        issue(
          ["endpoints", index, "address"],
          `${JSON.stringify(address)} must be an IP address with resolution STATIC`,
        );
      }
      for (const name of Object.keys(ports)) {
        if (!names.has(name)) issue(["endpoints", index, "ports", name], "is not the name of a port of this service");
      }
    });
  });
export type ServiceEntrySpec = z.infer<typeof ServiceEntrySpec>;
