import { expect, test } from "bun:test";
import { makeExchange } from "../../sdk/testing/exchange.ts";
import { VOCABULARY } from "../contract/vocabulary.ts";
import { compileAttributes } from "./attributes.ts";

const own = { service: "reviews", namespace: "shop", labels: { app: "reviews", version: "v2" } };
const attribute = compileAttributes(own);
const PEER = { serverName: "", version: "TLSv1.3", alpn: "", certificate: Buffer.alloc(1) };

test("every attribute of the vocabulary has a reader that answers its type, or nothing", () => {
  const exchange = makeExchange({ path: "/a?b=c", headers: { referer: "r", "user-agent": "u" }, requestId: "i" });
  exchange.endedMonoMs = exchange.startedMonoMs + 5;
  exchange.repliedMonoMs = exchange.startedMonoMs + 3;
  exchange.metadata = new Map([["user", "ada"]]);
  exchange.checked = { errorCode: 7, errorMessage: "no", isCached: true };
  const absent: string[] = [];
  for (const [name, { type }] of VOCABULARY) {
    const value = attribute(name)(exchange);
    if (value === undefined) absent.push(name);
    else if (type === "map") expect(typeof value).toBe("object");
    else if (["int", "double", "duration", "timestamp"].includes(type)) expect(typeof value).toBe("number");
    else expect(typeof value).toBe(type === "bool" ? "boolean" : "string");
  }
  expect(absent.toSorted()).toEqual([
    "connection.requested_server_name",
    "context.proxy_error_code",
    "response.grpc_message",
    "response.grpc_status",
    "response.headers",
    "route.name",
    "source.labels",
    "source.namespace",
    "source.principal",
    "source.serviceAccount",
    "source.user",
    "source.workload.name",
    "source.workload.namespace",
    "upstream.address",
  ]);
});

test("at the service, the caller is who its certificate says, and the destination is the service itself", () => {
  const plain = makeExchange();
  const exchange = makeExchange();
  Object.assign(exchange, {
    downstream: {
      ...plain.downstream,
      tls: { ...PEER, principal: "cluster.local/ns/web/sa/front" },
    },
  });
  const read = (name: string): unknown => attribute(name)(exchange);
  expect([
    read("source.namespace"),
    read("source.serviceAccount"),
    read("connection.mtls"),
    read("destination.service.host"),
    read("destination.service.name"),
    read("destination.ip"),
    read("source.workload.name"),
  ]).toEqual(["web", "front", true, "reviews.shop.svc.cluster.local", "reviews", "10.0.0.8", undefined]);
});

test("at the caller, the source is the workload itself, and the service is the route's before it is called", () => {
  const exchange = makeExchange({ path: "/v1/new" });
  Object.assign(exchange, { downstream: { ...exchange.downstream, direction: "outbound" } });
  const cluster = "outbound|80|v1|ratings.other.svc.cluster.local";
  exchange.decision = { routeName: "", cluster, timeoutMs: 0, prepare: undefined, editReply: undefined };
  exchange.originalPath = "/old?x=1&x=2&y=a%20b";
  const read = (name: string): unknown => attribute(name)(exchange);
  expect([
    read("source.workload.name"),
    read("source.namespace"),
    read("destination.service.host"),
    read("destination.service.namespace"),
    read("request.url_path"),
  ]).toEqual(["reviews", "shop", "ratings.other.svc.cluster.local", "other", "/old"]);
  const query = attribute("request.query_params")(exchange);
  if (typeof query !== "object") throw new Error("is no map");
  expect([query.get("x"), query.get("y"), query.get("z")]).toEqual(["1", "a b", undefined]);
});
