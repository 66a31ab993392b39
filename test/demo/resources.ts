// What the demo applies: the bookshop's services where they listen, and the use of the filter that it writes.
import { stringify } from "yaml";

/** One running sidecar of a service. */
export interface Placed {
  readonly service: string;
  readonly version: string;
  /** Its sidecar's inbound port on loopback. */
  readonly inboundPort: number;
}

/** A port that the bookshop's services say they have; sidecars route by name. */
const SERVICE_PORT = 9080;

/** One Istio ServiceEntry for each service, its endpoints the sidecars that stand before it. */
export function renderServiceEntries(placed: readonly Placed[]): string {
  const services = Map.groupBy(placed, ({ service }) => service);
  const documents = [...services].map(([service, endpoints]) => ({
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name: service },
    spec: {
      hosts: [service],
      location: "MESH_INTERNAL",
      resolution: "STATIC",
      ports: [{ number: SERVICE_PORT, name: "http", protocol: "HTTP" }],
      endpoints: endpoints.map(({ version, inboundPort }) => ({
        address: "127.0.0.1",
        ports: { http: inboundPort },
        labels: { version },
      })),
    },
  }));
  return documents.map((document) => stringify(document)).join("---\n");
}

/** What the demo calls its filter. */
export const FILTER_NAME = "book-club";

/** The filter's whole source, as an author would write it. */
export const FILTER_SOURCE = `import { defineFilter, z } from "vespid";

export default defineFilter({
  name: "${FILTER_NAME}",
  stage: "transform",
  reads: ["end-user"],
  writes: ["x-book-club"],
  config: z.object({ greeting: z.string().default("welcome") }),
  response(response, { config }) {
    const reader = response.request.headers.get("end-user") ?? "stranger";
    response.headers.set("x-book-club", \`\${config.greeting}, \${reader}\`);
  },
});
`;

/** The filter's use: in the sidecar of the product page. */
export function renderFilterUse(digest: string): string {
  return stringify({
    apiVersion: "vespid.dev/v1",
    kind: "Filter",
    metadata: { name: FILTER_NAME },
    spec: { bundle: digest, selector: { services: ["productpage"] }, config: { greeting: "welcome to the book club" } },
  });
}
