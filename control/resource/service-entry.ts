// Istio's `ServiceEntry`: which services there are, what their ports speak and where they run.
import { isIP } from "node:net";
import { z } from "zod";
import { Cidr, ExportTo, Host, Labels, notYet, Port } from "./fields.ts";

/** Istio's names of protocols, in lower case as proxies know them. */
export const PROTOCOLS = [
  "http",
  "http2",
  "grpc",
  "grpc-web",
  "https",
  "tls",
  "tcp",
  "mongo",
  "mysql",
  "redis",
] as const;
/** What a port speaks; `auto` is told from the first bytes of each connection. */
export type Protocol = (typeof PROTOCOLS)[number] | "auto";

const ServicePort = z.strictObject({
  number: Port,
  name: z.string().min(1),
  /** What is spoken on the port: `HTTP`, `HTTP2`, `GRPC`, `GRPC-WEB`, `HTTPS`, `TLS`, `TCP`, `MONGO`, `MYSQL`, `REDIS`. Default: what the port's name begins with (`grpc-api`), else whatever comes. */
  protocol: z
    .string()
    .toLowerCase()
    .refine((protocol) => protocol === "" || PROTOCOLS.some((known) => known === protocol), {
      error: (issue) =>
        `${JSON.stringify(issue.input)} is not a protocol that is supported; these are: ${PROTOCOLS.join(", ").toUpperCase()}`,
    })
    .default(""),
  /** The port of the endpoints, where it differs. */
  targetPort: Port.optional(),
});
export type ServicePort = z.infer<typeof ServicePort>;

/** What a port speaks: as it says, else by its name, as Kubernetes services' ports: `http`, `grpc-web-api`. */
export function protocolOf({ protocol, name }: Pick<ServicePort, "protocol" | "name">): Protocol {
  if (protocol !== "") return PROTOCOLS.find((known) => known === protocol) ?? "auto";
  const lower = name.toLowerCase();
  // The longest first: `grpc-web` is not `grpc`.
  return BY_LENGTH.find((known) => lower === known || lower.startsWith(`${known}-`)) ?? "auto";
}

const BY_LENGTH = PROTOCOLS.toSorted((a, b) => b.length - a.length);

/** By the `Host` of a request, by the SNI of TLS, or by port and address alone. Where nobody knows (`auto`) by any of them. */
export type ProtocolFamily = "http" | "tls" | "tcp" | "auto";

const FAMILIES: Readonly<Record<Protocol, ProtocolFamily>> = {
  auto: "auto",
  http: "http",
  http2: "http",
  grpc: "http",
  "grpc-web": "http",
  https: "tls",
  tls: "tls",
  tcp: "tcp",
  mongo: "tcp",
  mysql: "tcp",
  redis: "tcp",
};

/** How connections of that protocol find their service. */
export function familyOf(protocol: Protocol): ProtocolFamily {
  return FAMILIES[protocol];
}

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
    /** Addresses and networks that clients call the hosts by. Without any, a port of TCP takes every connection to its number. */
    addresses: z.array(Cidr).max(1000).default([]),
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
    ...notYet("workloadSelector", "subjectAltNames"),
  })
  .superRefine((spec, context) => {
    const issue = (path: PropertyKey[], message: string) => context.addIssue({ code: "custom", path, message });
    checkHosts(spec, issue);
    checkEndpoints(spec, issue);
    if (new Set(spec.ports.map(({ name }) => name)).size < spec.ports.length) {
      issue(["ports"], "must have different names");
    }
    if (new Set(spec.ports.map(({ number }) => number)).size < spec.ports.length) {
      issue(["ports"], "must have different numbers");
    }
  });
export type ServiceEntrySpec = z.infer<typeof ServiceEntrySpec>;

type Checked = Pick<z.infer<typeof ServiceEntrySpec>, "hosts" | "addresses" | "ports" | "resolution" | "endpoints">;
type Issue = (path: PropertyKey[], message: string) => void;

function checkHosts({ hosts, addresses, ports, resolution, endpoints }: Checked, issue: Issue): void {
  hosts.forEach((host, index) => {
    if (host === "*") issue(["hosts", index], `"*" is not a host of a ServiceEntry`);
    if (host.startsWith("*") && resolution === "DNS" && endpoints.length === 0) {
      issue(["hosts", index], `${JSON.stringify(host)} cannot be resolved by DNS without endpoints`);
    }
  });
  // Istio's rules: plain TCP says no host, so that two hosts of one port could not be told apart.
  ports.forEach((port, index) => {
    const family = familyOf(protocolOf(port));
    if (hosts.length > 1 && (family === "tcp" || family === "auto")) {
      issue(["ports", index, "protocol"], "must be one of HTTP or TLS where there are several hosts: TCP names none");
    }
  });
  addresses.forEach((address, index) => {
    if (address.includes("/") && resolution === "DNS") {
      issue(["addresses", index], `${JSON.stringify(address)} is a network, which needs resolution STATIC`);
    }
  });
}

function checkEndpoints({ ports, resolution, endpoints }: Checked, issue: Issue): void {
  if (resolution === "STATIC" && endpoints.length === 0) {
    issue(["endpoints"], "must name at least one endpoint with resolution STATIC");
  }
  const names = new Set(ports.map(({ name }) => name));
  endpoints.forEach(({ address, ports: own }, index) => {
    if (resolution === "STATIC" && isIP(address) === 0) {
      issue(["endpoints", index, "address"], `${JSON.stringify(address)} must be an IP address with resolution STATIC`);
    }
    for (const name of Object.keys(own)) {
      if (!names.has(name)) issue(["endpoints", index, "ports", name], "is not the name of a port of this service");
    }
  });
}
