// The service behind a filter where its author has none at hand: it answers what it was sent.
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import { localReply } from "../../runtime/exchange/reply.ts";
import type { Service } from "../../runtime/exchange/exchange.ts";
import { fieldsOf, readToEnd } from "../testing/pieces.ts";

/** Answers 200 with the request as JSON. */
export const echo: Service = async function answerEcho(exchange) {
  const { bytes, trailers } = await readToEnd(exchange.body);
  const { method, path, authority } = exchange;
  const seen = {
    method,
    path,
    authority,
    headers: fieldsOf(exchange.headers),
    body: new TextDecoder().decode(bytes),
    ...(Object.keys(trailers).length > 0 && { trailers }),
  };
  const headers = HeaderMap.from([["content-type", "application/json"]]);
  return { ok: true, value: localReply(200, `${JSON.stringify(seen, undefined, 2)}\n`, "echo", headers) };
};
