// A filter against one made-up exchange, in the test's own process: `import { runFilter } from "vespid/testing"`.
import { compileChain, type RunObserver } from "../../runtime/chain/chain.ts";
import { NO_METER } from "../../runtime/chain/meter.ts";
import { buildNativeFilter, type FilterSurroundings } from "../../runtime/chain/native-filter.ts";
import { FilterUse } from "../../runtime/contract/filter.ts";
import { renderProblem } from "../../runtime/contract/problem.ts";
import type { BodySink } from "../../runtime/exchange/body.ts";
import { promised } from "../../runtime/exchange/later.ts";
import type { Reply } from "../../runtime/exchange/reply.ts";
import { localReply } from "../../runtime/exchange/reply.ts";
import { createNativeHost } from "../../runtime/host/native-host.ts";
import { PrivateMemory } from "../../runtime/host/shared-memory.ts";
import { SharedState } from "../../runtime/host/shared-state.ts";
import type { AnyFilter } from "../define-filter.ts";
import { installHost } from "../host.ts";
import { makeExchange, startClock, type RequestInit, type TestClock } from "./exchange.ts";
import { fieldsOf } from "./pieces.ts";

/** A request, the filter's configuration, and what the service behind it would answer. */
export interface Scene extends RequestInit {
  readonly config?: Readonly<Record<string, unknown>>;
  /** Default: 200 with the body `ok`. */
  readonly upstream?: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> };
}

/** What became of the exchange. Header names are in lower case; several fields of a name are joined with `", "`. */
export interface SceneResult {
  /** The request as the service saw it; `undefined` where the filter answered itself. */
  readonly forwarded: { readonly headers: Readonly<Record<string, string>> } | undefined;
  readonly reply: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
  };
  readonly logs: readonly string[];
}

/** Runs a filter natively. Throws where its configuration is refused or it fails. */
export async function runFilter(filter: AnyFilter, scene: Scene = {}): Promise<SceneResult> {
  const logs: string[] = [];
  const use = FilterUse.parse({
    name: filter.name,
    source: { kind: "builtin", name: filter.name },
    stage: filter.stage,
    config: scene.config ?? {},
  });
  const clock = startClock();
  const built = await buildNativeFilter(filter, use, {
    ...surroundingsOf(clock),
    log: (_level, message) => logs.push(message),
  });
  if (!built.ok) throw new Error(built.problems.map((problem) => renderProblem(problem)).join("\n"));
  const exchange = makeExchange(scene, clock);
  let forwarded: SceneResult["forwarded"];
  const run = compileChain(
    [built.value],
    SILENT,
    clock,
  )((seen) => {
    forwarded = { headers: fieldsOf(seen.headers) };
    const { status = 200, headers = {} } = scene.upstream ?? {};
    return { ok: true, value: localReply(status, "ok", "via_upstream", Object.entries(headers)) };
  });
  const outcome = await promised(run(exchange));
  if (!outcome.ok) throw new Error(outcome.error.message);
  const { status, headers } = outcome.value;
  return { forwarded, reply: { status, headers: fieldsOf(headers), body: readBody(outcome.value) }, logs };
}

const SILENT: RunObserver = { filterRan: () => undefined, circuitChanged: () => undefined };

/** Surroundings without a network, a log or metrics; the proxy's functions are there. */
export function surroundingsOf(clock: TestClock): FilterSurroundings {
  installHost(createNativeHost());
  return {
    clock,
    schedule: clock.schedule,
    log: () => undefined,
    callout: ({ cluster }) =>
      Promise.resolve({ ok: false, error: { kind: "failed", message: `cluster ${cluster} is not known` } }),
    declareMetrics: () => ({ ok: true, value: NO_METER }),
    shared: new SharedState(new PrivateMemory(), clock),
  };
}

/** The text of a body that is whole already, as local replies are. */
export function readBody(reply: Reply): string {
  let text = "";
  const sink: BodySink = {
    write: (chunk, start, end) => {
      text += new TextDecoder().decode(chunk.subarray(start, end));
      return true;
    },
    end: () => undefined,
    abort: () => undefined,
  };
  reply.body.pipe(sink);
  return text;
}
