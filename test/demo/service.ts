// One service of the bookshop as a process: `bun test/demo/service.ts NAME VERSION OUTBOUND_PORT`. It listens on a port
// that the system picks, prints it, and calls the other services only through its sidecar's outbound port.
import type { z } from "zod";
import { buildReviews, DETAILS, Details, RATINGS, Ratings, renderPage, Reviews, ReviewsVersion } from "./pages.ts";

/** Headers that a service passes on, so that routes can match on the user and a request keeps its name. */
const PASSED_ON = ["end-user", "x-request-id", "traceparent", "tracestate"];

type Answer = (request: Request) => Response | Promise<Response>;

if (import.meta.main) {
  const [name = "", version = "v1", outboundPort = "0"] = process.argv.slice(2);
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: serve(name, version, Number(outboundPort)) });
  console.log(`listening on ${server.port}`);
  process.once("SIGTERM", () => void server.stop().then(() => process.exit(0)));
  process.on("SIGINT", () => undefined);
}

/** The handler of a service by its name. */
export function serve(name: string, version: string, outboundPort: number): Answer {
  const call = callThrough(outboundPort);
  switch (name) {
    case "productpage":
      return (request) => servePage(request, call);
    case "details":
      return () => Response.json(DETAILS);
    case "ratings":
      return () => Response.json(RATINGS);
    case "reviews":
      return (request) => serveReviews(request, ReviewsVersion.parse(version), call);
    default:
      throw new Error(`${JSON.stringify(name)} is not a service of the bookshop`);
  }
}

type Call = <T>(request: Request, host: string, path: string, shape: z.ZodType<T>) => Promise<T>;

/** Calls another service by its name, by the sidecar. A status of 400 or more, or another shape, is an error. */
function callThrough(outboundPort: number): Call {
  return async (request, host, path, shape) => {
    const headers = new Headers({ host });
    for (const name of PASSED_ON) {
      const value = request.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    const reply = await fetch(`http://127.0.0.1:${outboundPort}${path}`, { headers });
    if (!reply.ok) throw new Error(`${host}${path} answered ${reply.status}`);
    return shape.parse(await reply.json());
  };
}

async function servePage(request: Request, call: Call): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname !== "/productpage") return new Response(null, { status: 302, headers: { location: "/productpage" } });
  try {
    const [details, reviews] = await Promise.all([
      call(request, "details", "/details/0", Details),
      call(request, "reviews", "/reviews/0", Reviews),
    ]);
    const page = renderPage(details, reviews, request.headers.get("end-user") ?? undefined);
    return new Response(page, {
      headers: { "content-type": "text/html; charset=utf-8", "x-reviews-version": reviews.version },
    });
  } catch (error) {
    return new Response(`the product page is not complete: ${String(error)}\n`, { status: 502 });
  }
}

async function serveReviews(request: Request, version: ReviewsVersion, call: Call): Promise<Response> {
  if (version === "v1") return Response.json(buildReviews(version, undefined));
  try {
    return Response.json(buildReviews(version, await call(request, "ratings", "/ratings/0", Ratings)));
  } catch (error) {
    return new Response(`ratings: ${String(error)}\n`, { status: 502 });
  }
}
