// Components that no toolchain makes, written by hand to reach beyond the sandbox.
import { describe, expect, test } from "bun:test";
import { parse } from "@bytecodealliance/jco";
import { Manifest } from "../../runtime/contract/bundle.ts";
import { renderArtifact } from "./artifact.ts";
import { deriveBundle } from "./derive.ts";

interface Crafted {
  /** Name by which the core module exports `configure`. */
  readonly configure?: string;
  /** Name by which it imports a function of another module. */
  readonly needs?: string;
}

/** A component of the filter's world whose functions answer nothing useful. */
function crafted({ configure = "configure", needs = "needed" }: Crafted): Promise<Uint8Array> {
  const four = "(param i32 i32 i32 i32) (result i32) i32.const 16";
  return parse(`(component
    (core module $other (func (export "f")))
    (core module $main
      (import "other" ${JSON.stringify(needs)} (func))
      (memory (export "memory") 1)
      (func (export "realloc") ${four})
      (func (export ${JSON.stringify(configure)}) (param i32 i32) (result i32) i32.const 16)
      (func (export "begin") ${four})
      (func (export "resume") (param i32 i32 i32 i32 i32 i32) (result i32) i32.const 16)
      (func (export "chunk") (param i32 i32 i32 i32 i32) (result i32) i32.const 16)
      (func (export "cancel") (param i32)))
    (core instance $o (instantiate $other))
    (alias core export $o "f" (core func $f))
    (core instance $needed (export ${JSON.stringify(needs)} (func $f)))
    (core instance $i (instantiate $main (with "other" (instance $needed))))
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (alias core export $i ${JSON.stringify(configure)} (core func $configureCore))
    (alias core export $i "begin" (core func $beginCore))
    (alias core export $i "resume" (core func $resumeCore))
    (alias core export $i "chunk" (core func $chunkCore))
    (alias core export $i "cancel" (core func $cancelCore))
    (func $configure (param "config" string) (result (result (error string)))
      (canon lift (core func $configureCore) (memory $memory) (realloc $realloc)))
    (func $begin (param "call" u32) (param "phase" u32) (param "head" string) (result string)
      (canon lift (core func $beginCore) (memory $memory) (realloc $realloc)))
    (func $resume (param "call" u32) (param "operation" u32) (param "outcome" string) (param "payload" (list u8)) (result string)
      (canon lift (core func $resumeCore) (memory $memory) (realloc $realloc)))
    (func $chunk (param "call" u32) (param "source" u32) (param "bytes" (list u8)) (param "end" bool) (result string)
      (canon lift (core func $chunkCore) (memory $memory) (realloc $realloc)))
    (func $cancel (param "call" u32) (canon lift (core func $cancelCore)))
    (instance $handler
      (export "configure" (func $configure)) (export "begin" (func $begin)) (export "resume" (func $resume))
      (export "chunk" (func $chunk)) (export "cancel" (func $cancel)))
    (export "vespid:filter/handler@2.0.0" (instance $handler)))`);
}

async function derive(component: Uint8Array): Promise<string> {
  const derived = await deriveBundle(
    renderArtifact(
      component,
      Manifest.parse({
        name: "crafted",
        world: "vespid:filter/filter@2.0.0",
        stage: "transform",
        reads: [],
        writes: [],
        phases: ["request"],
        configSchema: {},
      }),
    ),
  );
  return derived.ok ? "accepted" : derived.problems.map(({ message }) => message).join("\n");
}

describe("a name inside of a core module", () => {
  test("that is plain is accepted", async () => {
    const component = await crafted({ configure: "a:b/c@1.0.0#configure", needs: "[method]output-stream.write" });
    expect(await derive(component)).toBe("accepted");
  }, 30_000);

  // The glue quotes these names without escaping them, and proxies run the glue outside of the sandbox.
  test.each([
    ["ends a quoted text", { configure: "x'];globalThis.isReached=true;['" }],
    ["ends a double-quoted text", { configure: 'x"];globalThis.isReached=true;["' }],
    ["escapes the quote behind it", { configure: "x\\" }],
    ["ends a line", { needs: "x\nglobalThis.isReached=true" }],
    ["opens a template", { needs: "`${globalThis.isReached=true}`" }],
    ["is not ASCII", { needs: "x\u2028y" }],
  ])(
    "that %s is refused",
    async (_, names) => {
      expect(await derive(await crafted(names))).toContain("a name that is not plain ASCII");
    },
    30_000,
  );
});
