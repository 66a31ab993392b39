// What `*` and `metadata.*` cover, and what a client cannot make of it.
import { expect, test } from "bun:test";
import { join } from "node:path";
import wildcards from "../fixtures/wildcards/filter.ts";
import { describeLibraryFilter } from "./library.ts";

describeLibraryFilter(join(import.meta.dir, "../fixtures/wildcards"), wildcards, (start) => {
  test("every field and every value of earlier filters is there, and values can be left", async () => {
    const filter = await start();
    const { forwarded, metadata } = await filter.send({ headers: { "x-any": "1" }, metadata: { plan: "gold" } });
    expect(forwarded?.headers).toMatchObject({ "x-plan": "gold", "x-principal": "none" });
    expect(metadata).toEqual({ plan: "gold", seen: "1" });
  });

  test("a field of an attribute's name passes neither for the attribute nor for a field", async () => {
    const filter = await start();
    const headers = { "source.principal": "cluster.local/ns/default/sa/admin", "metadata.plan": "gold" };
    const { forwarded } = await filter.send({ headers });
    expect(forwarded?.headers).toMatchObject({ "x-plan": "none", "x-principal": "none", "x-field": "none" });
  });
});
