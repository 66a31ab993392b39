import { expect, test } from "bun:test";
import { builtPeer } from "../../test/harness/built-peers.ts";
import { chooseEngine, type EngineChoice } from "./choose-engine.ts";

const NONE = "/nowhere/libwasmtime.so";

test.each<[EngineChoice, string | undefined, string]>([
  ["jsc", undefined, "jsc"],
  ["jsc", NONE, "jsc"],
  ["wasmtime", builtPeer("libwasmtime.so"), "wasmtime"],
  ["auto", builtPeer("libwasmtime.so"), "wasmtime"],
  ["wasmtime", NONE, `${NONE} cannot be loaded`],
  // Named, but not there: a mistake that a fallback would hide.
  ["auto", NONE, `${NONE} cannot be loaded`],
])("%p with library %p: %s", (choice, library, expected) => {
  const chosen = chooseEngine(choice, { library, codeFolder: "/nowhere", now: () => 0 });
  expect(chosen.ok ? chosen.value.name : chosen.error).toStartWith(expected);
});
