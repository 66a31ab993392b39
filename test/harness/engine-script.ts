// A script in the sandbox's engine, called as a proxy would, without the SDK and without a proxy.
import { ENGINE_FILE } from "../../sdk/build/component.ts";
import { readSections } from "../../sdk/build/wasm-reader.ts";
import { HANDLER_INTERFACE, HOST_INTERFACE, PHASES } from "../../sdk/wit/world.ts";

const CORE_MODULE = 1;

type Call = (...values: number[]) => number;

/** What the engine's core module exports. */
export interface Core {
  readonly memory: WebAssembly.Memory;
  cabi_realloc(old: number, oldSize: number, alignment: number, size: number): number;
  load(script: number, length: number): number;
  readonly [name: `${string}#${string}`]: Call;
}

/** The engine without a script. The proxy's functions are `host`, and do nothing where it lacks them. */
export async function openCore(host: Readonly<Record<string, Call>> = {}): Promise<Core> {
  const engine = await Bun.file(ENGINE_FILE).bytes();
  const core = readSections(engine, 1).find(({ id }) => id === CORE_MODULE)?.payload;
  if (core === undefined) throw new Error("has no core module");
  const module = await WebAssembly.compile(engine.slice(core.position, core.end));
  const imports = Object.fromEntries(
    WebAssembly.Module.imports(module).map(({ module: from }) => {
      const nothing = from.includes("monotonic") ? 0n : 0;
      const functions = from === HOST_INTERFACE ? host : {};
      return [from, new Proxy(functions, { get: (of, name) => Reflect.get(of, name) ?? (() => nothing) })];
    }),
  );
  const { exports } = await WebAssembly.instantiate(module, imports);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what every component's core exports
  return exports as unknown as Core;
}

/** A loaded script. */
export interface EngineScript {
  readonly memory: WebAssembly.Memory;
  /** Asks it about a text, and answers what it says; call 1 where no other is given. */
  readonly begin: (head: string, call?: number) => string;
  readonly resume: (call: number, operation: number, outcome: string) => string;
  readonly cancel: (call: number) => void;
  /** What the script had the proxy do, a line each, besides operations. */
  readonly said: string[];
  /** Operations that it started, by calls or by answers, in their order: kind, request, and number. */
  readonly started: (readonly [kind: string, request: string, number: number])[];
}

/**
 * Loads a function of a text and the call, which may use `host` and the engine's own functions, and one of a call that was
 * cancelled. Answers that start an operation read `pending`.
 */
export async function openScript(begin: string, before = "", over = "() => undefined"): Promise<EngineScript> {
  const said: string[] = [];
  const started: EngineScript["started"] = [];
  const read = (at = 0, length = 0): string =>
    new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(core.memory.buffer, at, length));
  const core = await openCore({
    log: (_, text, length) => said.push(`log ${read(text, length)}`),
    settle: (call, text, length) => said.push(`settle ${call} ${read(text, length)}`),
    start: (_, kind, kindLength, request, requestLength) => {
      const number = started.length + 1;
      started.push([read(kind, kindLength), read(request, requestLength), number]);
      return number;
    },
    stop: (operation) => said.push(`stop ${operation}`),
  });
  const write = (text: string): readonly [number, number] => {
    const bytes = new TextEncoder().encode(text);
    const pointer = core.cabi_realloc(0, 0, 1, bytes.length);
    new Uint8Array(core.memory.buffer).set(bytes, pointer);
    return [pointer, bytes.length];
  };
  const call = (name: string, ...values: number[]): string => {
    const result = core[`${HANDLER_INTERFACE}#${name}`]?.(...values) ?? 0;
    const [start = 0, size = 0] = new Uint32Array(core.memory.buffer, result, 2);
    const answer = read(start, size);
    const [, number, kind = "", request = ""] = /^pending (\d+) (\S+)\n(.*)$/su.exec(answer) ?? [];
    if (number === undefined) return answer;
    started.push([kind, request, Number(number)]);
    return "pending\n";
  };
  const script = `import host from "${HOST_INTERFACE}"; import { abort, giveUp, operate } from "vespid:engine"; ${before};
    export const handler = {
      after: { isDue: false },
      begin: { timer: (call, head) => (${begin})(head, call) },
      cancel: (call) => abort(call, new Error("nobody waits")),
      over: ${over},
      failed: (reason) => "failed " + reason,
      unhandled: (reason) => "unhandled " + reason,
    };`;
  const [at, length] = write(`${script}\0`);
  core.load(at, length - 1);
  return {
    memory: core.memory,
    begin: (head, number = 1) => call("begin", number, PHASES.indexOf("timer"), ...write(head)),
    resume: (number, operation, outcome) => call("resume", number, operation, ...write(outcome), 1, 0),
    cancel: (number) => void core[`${HANDLER_INTERFACE}#cancel`]?.(number),
    said,
    started,
  };
}
