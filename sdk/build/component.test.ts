// A script becomes a component, or says why it does not load. Whole filters run in test/contract.
import { afterAll, expect, test } from "bun:test";
import { stop } from "esbuild";
import { componentOf, ScriptError } from "./component.ts";
import { transpileFilter } from "./transpile.ts";

const HANDLER = "export const handler = { configure() {}, begin: {}, after: {} };";
const withHost = (script: string) =>
  `import host from "vespid:filter/host@2.0.0"; import { operate } from "vespid:engine"; ${script};${HANDLER}`;

// The transpiler uses it.
afterAll(() => stop());

test("the same script gives the same component, which can be derived", async () => {
  const component = await componentOf(HANDLER);
  expect(await componentOf(HANDLER)).toEqual(component);
  expect([...(await transpileFilter(component)).keys()].filter((name) => name.endsWith(".wasm"))).toHaveLength(4);
});

test("the engine's module is the same whatever the script", async () => {
  const [one, other] = await Promise.all(
    [HANDLER, `globalThis.large = "x".repeat(1e6);${HANDLER}`].map(async (script) =>
      transpileFilter(await componentOf(script)),
    ),
  );
  expect(other?.get("filter.core.wasm")).toEqual(one?.get("filter.core.wasm"));
});

test.each([
  ["throws", `throw new TypeError("no such thing");${HANDLER}`, "TypeError: no such thing"],
  ["throws a text", `throw "no";${HANDLER}`, "no"],
  ["is not JavaScript", "export const = 1;", "SyntaxError"],
  ["imports what is not there", `import "node:fs";${HANDLER}`, "there is no module node:fs"],
  ["awaits what never comes", `await new Promise(() => {});${HANDLER}`, "waits while it loads"],
  ["has no handler", "export const other = 1;", "cannot read property 'configure' of undefined"],
  ["starts an operation", withHost(`operate(1, "sleep", "1", new Uint8Array(), () => 0)`), "an operation is not there"],
  ["emits", withHost(`host.emit(1, "upstream", new Uint8Array(1))`), "a message is not there"],
  ["asks for bytes", withHost(`host.bytes("random", "32", new Uint8Array())`), "Error"],
])("a script that %s does not load, and is told why", async (_, script, reason) => {
  const error = await componentOf(script).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ScriptError);
  expect(String(error)).toContain(reason);
});

test("a script may catch that the host does nothing yet, and may write", async () => {
  const script = withHost(`
    let caught = "";
    try { host.text("hash", "", new Uint8Array()) } catch (error) { caught = error instanceof Error ? "caught" : "" }
    if (caught === "") throw new Error("was answered");
    host.log("info", "loading", "")`);
  expect((await componentOf(script)).length).toBeGreaterThan(1_000_000);
});
