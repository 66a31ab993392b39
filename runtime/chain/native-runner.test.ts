// What a native filter may do with the bytes that it gets, as in the sandbox.
import { expect, test } from "bun:test";
import { defineFilter } from "../../sdk/define-filter.ts";
import { makeExchange, startClock } from "../../sdk/testing/exchange.ts";
import { surroundingsOf } from "../../sdk/testing/run-filter.ts";
import { collect, pieces } from "../../test/harness/bodies.ts";
import { FilterUse } from "../contract/filter.ts";
import { buildNativeFilter } from "./native-filter.ts";

test("a transform may keep its pieces: the codec's chunk is another memory", async () => {
  const filter = defineFilter({
    name: "keeper",
    stage: "transform",
    body: { request: "stream" },
    request(request) {
      const kept: Uint8Array[] = [];
      request.body.transform({
        chunk: (bytes) => {
          kept.push(bytes);
          return "";
        },
        end: () => Buffer.concat(kept),
      });
    },
  });
  const use = FilterUse.parse({ name: "keeper", source: { kind: "builtin", name: "keeper" }, stage: "transform" });
  const built = await buildNativeFilter(filter, use, surroundingsOf(startClock()));
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  const exchange = makeExchange({ method: "POST", body: pieces(["one ", "two ", "three"]) });
  await built.value.request?.(exchange);
  expect((await collect(exchange.body)).text).toBe("one two three");
});
