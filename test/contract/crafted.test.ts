// Components that no toolchain makes, written to take more of a proxy than their limits say.
import { describe, expect, test } from "bun:test";
import { parse } from "@bytecodealliance/jco";
import { Manifest } from "../../runtime/contract/bundle.ts";
import { FilterLimits } from "../../runtime/contract/filter.ts";
import { buildAdapterCalls } from "../../runtime/wasm/build-filter.ts";
import type { Engine, GuestHost } from "../../runtime/wasm/engine.ts";
import { renderArtifact } from "../../sdk/build/artifact.ts";
import { deriveBundle } from "../../sdk/build/derive.ts";
import { PHASES } from "../../sdk/wit/world.ts";
import { depsFor, ENGINES, engineOf, idleHost, unwrap, useOf } from "./subjects.ts";

const LIMITS = FilterLimits.parse({});
const MANIFEST = {
  name: "crafted",
  world: "vespid:filter/filter@2.0.0",
  stage: "transform",
  reads: [],
  writes: [],
  phases: ["request"],
  configSchema: {},
};
const FOUR = "(param i32 i32 i32 i32) (result i32)";
const REST = `
  (func (export "realloc") ${FOUR} i32.const 1024)
  (func (export "configure") (param i32 i32) (result i32) i32.const 16)
  (func (export "resume") (param i32 i32 i32 i32 i32 i32) (result i32) i32.const 16)
  (func (export "chunk") (param i32 i32 i32 i32 i32) (result i32) i32.const 16)
  (func (export "cancel") (param i32))`;
const HANDLER = `
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (alias core export $i "configure" (core func $configureCore))
  (alias core export $i "begin" (core func $beginCore))
  (alias core export $i "resume" (core func $resumeCore))
  (alias core export $i "chunk" (core func $chunkCore))
  (alias core export $i "cancel" (core func $cancelCore))
  (func $configure (param "config" string) (result (result (error string)))
    (canon lift (core func $configureCore) (memory $memory) (realloc $realloc)))
  (type $phase (enum ${PHASES.map((phase) => `"${phase}"`).join(" ")}))
  (type $side (enum "downstream" "upstream"))
  (func $begin (param "call" u32) (param "phase" $phase) (param "head" string) (result string)
    (canon lift (core func $beginCore) (memory $memory) (realloc $realloc)))
  (func $resume (param "call" u32) (param "operation" u32) (param "outcome" string) (param "payload" (list u8)) (result string)
    (canon lift (core func $resumeCore) (memory $memory) (realloc $realloc)))
  (func $chunk (param "call" u32) (param "source" $side) (param "bytes" (list u8)) (param "end" bool) (result string)
    (canon lift (core func $chunkCore) (memory $memory) (realloc $realloc)))
  (func $cancel (param "call" u32) (canon lift (core func $cancelCore)))
  (component $named
    (type $phase (enum ${PHASES.map((phase) => `"${phase}"`).join(" ")}))
    (type $side (enum "downstream" "upstream"))
    (import "phase" (type $phaseIn (eq $phase)))
    (import "side" (type $sideIn (eq $side)))
    (import "configure" (func $configure (param "config" string) (result (result (error string)))))
    (import "begin" (func $begin (param "call" u32) (param "phase" $phaseIn) (param "head" string) (result string)))
    (import "resume" (func $resume
      (param "call" u32) (param "operation" u32) (param "outcome" string) (param "payload" (list u8)) (result string)))
    (import "chunk" (func $chunk
      (param "call" u32) (param "source" $sideIn) (param "bytes" (list u8)) (param "end" bool) (result string)))
    (import "cancel" (func $cancel (param "call" u32)))
    (export $phaseOut "phase" (type $phaseIn))
    (export $sideOut "side" (type $sideIn))
    (export "configure" (func $configure))
    (export "begin" (func $begin)
      (func (param "call" u32) (param "phase" $phaseOut) (param "head" string) (result string)))
    (export "resume" (func $resume))
    (export "chunk" (func $chunk)
      (func (param "call" u32) (param "source" $sideOut) (param "bytes" (list u8)) (param "end" bool) (result string)))
    (export "cancel" (func $cancel)))
  (instance $handler (instantiate $named
    (with "phase" (type $phase)) (with "side" (type $side))
    (with "configure" (func $configure)) (with "begin" (func $begin)) (with "resume" (func $resume))
    (with "chunk" (func $chunk)) (with "cancel" (func $cancel))))
  (export "vespid:filter/handler@2.0.0" (instance $handler))`;

/** `begin`, which runs `body` that many times. */
function repeat(times: number, body: string): string {
  return `(func (export "begin") ${FOUR} (local $turn i32)
    (loop $again ${body}
      (br_if $again (i32.lt_u (local.tee $turn (i32.add (local.get $turn) (i32.const 1))) (i32.const ${times}))))
    i32.const 16)`;
}

/** A component that imports \`text\` of the host and does this in \`begin\`. */
function asking(begin: string): string {
  return `(component
    (import "vespid:filter/host@2.0.0" (instance $vespid (export "text"
      (func (param "name" string) (param "request" string) (param "payload" (list u8)) (result (result string (error string)))))))
    (core module $memory (memory (export "memory") 1) (func (export "realloc") ${FOUR} i32.const 1024))
    (core instance $m (instantiate $memory))
    (alias core export $m "memory" (core memory $shared))
    (alias core export $m "realloc" (core func $reallocShared))
    (core func $text (canon lower (func $vespid "text") (memory $shared) (realloc $reallocShared)))
    (core instance $host (export "text" (func $text)))
    (core module $main
      (import "m" "memory" (memory 1))
      (import "host" "text" (func $text (param i32 i32 i32 i32 i32 i32 i32)))
      (export "memory" (memory 0)) ${REST}
      (func (export "begin") ${FOUR} ${begin} i32.const 16))
    (core instance $i (instantiate $main (with "m" (instance $m)) (with "host" (instance $host)))) ${HANDLER})`;
}

/** A component that writes so many bytes to standard error, so often. */
function writing(bytes: number, times: number): string {
  return `(component
    (import "wasi:io/error@0.2.12" (instance $errors (export "error" (type (sub resource)))))
    (alias export $errors "error" (type $error))
    (import "wasi:io/streams@0.2.12" (instance $streams
      (export "output-stream" (type $stream (sub resource)))
      (alias outer 1 $error (type $outer)) (export "error" (type $inner (eq $outer)))
      (type $failed (variant (case "last-operation-failed" (own $inner)) (case "closed")))
      (export "stream-error" (type $failure (eq $failed)))
      (export "[method]output-stream.write"
        (func (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $failure)))))))
    (alias export $streams "output-stream" (type $stream))
    (import "wasi:cli/stderr@0.2.12" (instance $stderr
      (alias outer 1 $stream (type $outer)) (export "output-stream" (type $inner (eq $outer)))
      (export "get-stderr" (func (result (own $inner))))))
    (core module $memory (memory (export "memory") 2) (func (export "realloc") ${FOUR} i32.const 1024))
    (core instance $m (instantiate $memory))
    (alias core export $m "memory" (core memory $shared))
    (alias core export $m "realloc" (core func $reallocShared))
    (core func $get (canon lower (func $stderr "get-stderr")))
    (core func $write (canon lower (func $streams "[method]output-stream.write") (memory $shared) (realloc $reallocShared)))
    (core instance $host (export "get" (func $get)) (export "write" (func $write)))
    (core module $main
      (import "m" "memory" (memory 2))
      (import "host" "get" (func $get (result i32)))
      (import "host" "write" (func $write (param i32 i32 i32 i32)))
      (export "memory" (memory 0)) ${REST}
      (func (export "begin") ${FOUR} (local $stream i32) (local $turn i32)
        (local.set $stream (call $get))
        (memory.fill (i32.const 2000) (i32.const 65) (i32.const 65536))
        (loop $again (call $write (local.get $stream) (i32.const 2000) (i32.const ${bytes}) (i32.const 100))
          (br_if $again (i32.lt_u (local.tee $turn (i32.add (local.get $turn) (i32.const 1))) (i32.const ${times}))))
        i32.const 16))
    (core instance $i (instantiate $main (with "m" (instance $m)) (with "host" (instance $host)))) ${HANDLER})`;
}

/** A component that answers every call with this text. */
function answering(text: string): string {
  const bytes = [...Buffer.from(text)].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`);
  const length = `\\${bytes.length.toString(16).padStart(2, "0")}\\00\\00\\00`;
  return `(component
    (core module $main (memory (export "memory") 1) ${REST}
      (data (i32.const 16) "\\00\\08\\00\\00${length}") (data (i32.const 2048) "${bytes.join("")}")
      (func (export "begin") ${FOUR} i32.const 16))
    (core instance $i (instantiate $main)) ${HANDLER})`;
}

/** One call of a guest: its outcome and what it logged. */
async function call(engine: Engine, wat: string, given: Partial<GuestHost> = {}) {
  const { ref, files } = unwrap(await deriveBundle(renderArtifact(await parse(wat), Manifest.parse(MANIFEST))));
  const selected = engine.selectFiles(ref);
  if (!selected.ok) throw new Error(selected.error);
  const loaded = selected.value.map((file) =>
    Object.assign({ bytes: files.get(file.digest) ?? new Uint8Array() }, file),
  );
  const module = await engine.load(loaded, LIMITS);
  if (!module.ok) throw new Error(module.error);
  const logged: string[] = [];
  const instance = module.value.instantiate(
    idleHost({ clock: { now: () => 0, monotonic: () => 0 }, log: (_, message) => void logged.push(message), ...given }),
  );
  return { outcome: instance.ok ? instance.value.begin(1, "request", "x") : instance, logged };
}

describe.each([...ENGINES])("a crafted component on engine %s", (name) => {
  const engine = engineOf(name);

  test.each([
    ["proceed\n", { kind: "proceed", granted: undefined, validForMs: 0 }],
    [
      "reply 403\nuses 2\ncache 9\n\nno",
      { kind: "reply", parts: { status: 403, body: "no" }, validForMs: 9, validUses: 2 },
    ],
    ["proceed\nset a: b\n", { kind: "failed", message: "edits a message, which is not an answer to a rule" }],
    ["proceed\nbody emitted\n", { kind: "failed", message: "edits a message, which is not an answer to a rule" }],
    ["reply 403\nbody emitted\n", { kind: "failed", message: "refuses with bytes, which is not an answer to a rule" }],
    ["pass\n", { kind: "failed", message: "answers with pass, which is not an answer to a rule" }],
    ["close\n", { kind: "failed", message: "answers with close, which is not an answer to a rule" }],
    ["allow\n", { kind: "failed", message: `answered "allow\\n", which is not an answer` }],
  ])("to a rule it may answer %p, or not", async (text, reply) => {
    const manifest = Manifest.parse({ ...MANIFEST, stage: "ratelimit", phases: ["check"] });
    const bundle = unwrap(await deriveBundle(renderArtifact(await parse(answering(text)), manifest)));
    const use = useOf({ kind: "bundle", bundle: bundle.ref });
    const calls = unwrap(await buildAdapterCalls(use, depsFor(bundle, { engine })));
    expect(calls.ask("check", ":name: a\n")).toMatchObject(reply);
    calls.stop();
  });

  test("calls of the host spend fuel, whichever interface they are of", async () => {
    const { outcome } = await call(
      engine,
      `(component
    (import "wasi:clocks/monotonic-clock@0.2.12" (instance $clock (export "now" (func (result u64)))))
    (core func $now (canon lower (func $clock "now")))
    (core instance $host (export "now" (func $now)))
    (core module $main (import "host" "now" (func $now (result i64)))
      (memory (export "memory") 1) ${REST} ${repeat(LIMITS.fuel / 100, "(drop (call $now))")})
    (core instance $i (instantiate $main (with "host" (instance $host)))) ${HANDLER})`,
    );
    expect(outcome).toMatchObject({ ok: false, error: { kind: "out_of_fuel" } });
  }, 30_000);

  test("what the host does is paid for before the next call, without a loop as well", async () => {
    const ask =
      "(call $text (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 64))";
    let asked = 0;
    const { outcome } = await call(engine, asking(ask.repeat(500)), {
      text: () => {
        asked++;
        return { result: { ok: true, value: "" }, fuel: LIMITS.fuel / 3 };
      },
    });
    expect(outcome).toMatchObject({ ok: false, error: { kind: "out_of_fuel" } });
    expect(asked).toBe(3);
  }, 30_000);

  test("what it writes to standard error is bounded like what it logs", async () => {
    const { logged } = await call(engine, writing(4096, 500));
    expect(logged).toHaveLength(16);
    expect(logged.map(({ length }) => length)).toEqual(logged.map(() => 4096));
    const { logged: none, outcome } = await call(engine, writing(65_536, 1));
    expect(outcome).toMatchObject({
      ok: false,
      error: { message: "trapped: writes 65536 bytes, there is room for 4096" },
    });
    expect(none).toEqual([]);
  }, 30_000);

  test("the memory limit holds for all modules of a guest together", async () => {
    const copies = Array.from({ length: 10 }, (_, index) => `(core instance $copy${index} (instantiate $large))`);
    const { outcome } = await call(
      engine,
      `(component
    (core module $large (memory 250))
    ${copies.join(" ")}
    (core module $main (memory (export "memory") 1) ${REST} ${repeat(1, "")})
    (core instance $i (instantiate $main)) ${HANDLER})`,
    );
    expect(outcome).toMatchObject({ ok: false, error: { message: expect.stringContaining("more than 2 memories") } });
  }, 30_000);
});
