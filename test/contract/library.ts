// A filter's own tests on every engine: natively and as the component that `filter push` makes of the same file, both built
// by `buildFilter` as a proxy does, against a made-up mesh.
import { afterEach, beforeAll, describe } from "bun:test";
import { join } from "node:path";
import type { CalloutFault, CalloutReply, CalloutRequest } from "../../runtime/chain/callout.ts";
import { compileChain } from "../../runtime/chain/chain.ts";
import type { Filter } from "../../runtime/chain/filter.ts";
import { bytesBody, type Body, type BodySink } from "../../runtime/exchange/body.ts";
import type { Exchange } from "../../runtime/exchange/exchange.ts";
import type { Failure, Result } from "../../runtime/exchange/failure.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import { promised } from "../../runtime/exchange/later.ts";
import type { FilterRun } from "../../runtime/exchange/observer.ts";
import { Reply } from "../../runtime/exchange/reply.ts";
import { replyFor } from "../../runtime/reply/rescue.ts";
import { buildFilter } from "../../runtime/wasm/build-filter.ts";
import type { AnyFilter } from "../../sdk/define-filter.ts";
import { makeExchange, startClock, type RequestInit, type TestClock } from "../../sdk/testing/exchange.ts";
import { fieldsOf } from "../../sdk/testing/pieces.ts";
import {
  deriveFile,
  depsFor,
  ENGINES,
  engineOf,
  unwrap,
  useOf,
  type Subject,
  type TestDeps,
  type UseInit,
} from "./subjects.ts";
import type { DerivedBundle } from "../../sdk/build/derive.ts";

/** A use of the filter, and who answers its calls. */
export interface Start extends Pick<UseInit, "config" | "limits" | "failurePolicy"> {
  /** Answers the calls of each of the filter's upstreams, by its name; a text is why there is no answer. */
  readonly upstreams?: Readonly<Record<string, Answers>>;
  readonly log?: TestDeps["log"];
  readonly clock?: TestClock;
}

/** A call that the filter made. */
export type Called = CalloutRequest;

type Answers = (request: CalloutRequest) => Partial<CalloutReply> | string | Promise<Partial<CalloutReply> | string>;

/** A request and what the service behind the filter would answer. Pieces of bodies come one by one, their length untold. */
export interface Sending extends Omit<RequestInit, "body"> {
  readonly body?: string | Uint8Array | readonly (string | Uint8Array)[];
  /** Left for the filter by earlier ones. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Default: 200 with the body `ok`. */
  readonly upstream?: {
    readonly status?: number;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: Sending["body"];
  };
}

/** What became of an exchange. Header names are in lower case, several fields of a name joined with `", "`. */
export interface Sent {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly bytes: Uint8Array;
  /** The reply's body broke off. */
  readonly broken: string | undefined;
  /** The request as the service saw it; `undefined` where it did not see it whole. */
  readonly forwarded: { readonly headers: Readonly<Record<string, string>>; readonly body: string } | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** What the filter's calls came to: `request proceed`, … */
  readonly runs: readonly string[];
  /** Why the filter failed. */
  readonly failure: string | undefined;
}

/** A filter that runs. */
export interface RunningFilter {
  readonly clock: TestClock;
  send(sending?: Sending): Promise<Sent>;
}

/** Starts the filter; throws what is wrong with its use. */
export type StartFilter = (start?: Start) => Promise<RunningFilter>;

/** Runs `tests` for the filter of a folder, on each engine. */
export function describeLibraryFilter(folder: string, filter: AnyFilter, tests: (start: StartFilter) => void): void {
  const running: Filter[] = [];
  let bundle: DerivedBundle | undefined;
  const start =
    (engine: Subject["engine"]): StartFilter =>
    async ({ config, limits, failurePolicy, upstreams = {}, log, clock = startClock() } = {}) => {
      const source =
        engine === "native"
          ? ({ kind: "builtin", name: filter.name } as const)
          : ({ kind: "bundle", bundle: bundle?.ref ?? never() } as const);
      const use = useOf(source, {
        name: filter.name,
        stage: filter.stage,
        ...(config && { config }),
        ...(limits && { limits }),
        ...(failurePolicy && { failurePolicy }),
        upstreams: Object.fromEntries(Object.keys(upstreams).map((name) => [name, { cluster: name, timeoutMs: 1000 }])),
      });
      const built = await buildFilter(use, {
        ...depsFor(bundle, { clock, ...(engine !== "native" && { engine: engineOf(engine) }) }),
        builtins: new Map([[filter.name, filter]]),
        callout: (request) => answer(upstreams, request),
        ...(log && { log }),
      });
      const one = unwrap(built);
      running.push(one);
      return { clock, send: (sending = {}) => send(one, sending, clock) };
    };
  describe.each(["native", ...ENGINES] as const)(`${filter.name} in engine %s`, (engine) => {
    beforeAll(async () => {
      if (engine === "native") return;
      bundle ??= await deriveFile(join(folder, "filter.ts"));
      // Wasmtime compiles a component once; where the filter has no configuration of its own, this is that time.
      const use = useOf({ kind: "bundle", bundle: bundle.ref }, { name: filter.name, stage: filter.stage });
      const warm = await buildFilter(use, depsFor(bundle, { engine: engineOf(engine) }));
      if (warm.ok) warm.value.stop();
    }, 120_000);
    afterEach(() => {
      for (const one of running.splice(0)) one.stop();
    });
    tests(start(engine));
  });
}

async function answer(
  upstreams: Readonly<Record<string, Answers>>,
  request: CalloutRequest,
): Promise<Result<CalloutReply, CalloutFault>> {
  const answered = await (upstreams[request.cluster]?.(request) ?? "is not there");
  if (answered === "timeout") return { ok: false, error: { kind: "timeout", message: "time is up" } };
  if (typeof answered === "string") return { ok: false, error: { kind: "failed", message: answered } };
  return { ok: true, value: { status: 200, headers: [], body: new Uint8Array(), ...answered } };
}

async function send(filter: Filter, sending: Sending, clock: TestClock): Promise<Sent> {
  const { upstream = {}, metadata = {}, body, ...init } = sending;
  const exchange = makeExchange({ ...init, ...(body !== undefined && { body: bodyOf(body) }) }, clock);
  exchange.metadata = new Map(Object.entries(metadata));
  const runs: FilterRun[] = [];
  let forwarded: Sent["forwarded"];
  const observer = { filterRan: (run: FilterRun) => void runs.push(run), circuitChanged: () => undefined };
  const run = compileChain(
    [filter],
    observer,
    clock,
  )(async (seen: Exchange) => {
    const read = await readAll(seen.body);
    if (read.cause !== undefined) return { ok: false, error: read.cause };
    forwarded = { headers: fieldsOf(seen.headers), body: read.text };
    const { status = 200, headers = {} } = upstream;
    return {
      ok: true,
      value: new Reply(status, "", HeaderMap.from(Object.entries(headers)), bodyOf(upstream.body ?? "ok")),
    };
  });
  const outcome = await promised(run(exchange));
  const reply = outcome.ok ? outcome.value : replyFor(outcome.error);
  const read = await readAll(reply.body);
  exchange.onEnd?.();
  return {
    status: reply.status,
    headers: fieldsOf(reply.headers),
    body: read.text,
    bytes: read.bytes,
    broken: read.cause?.message,
    forwarded,
    metadata: Object.fromEntries(exchange.metadata),
    runs: runs.map(({ phase, outcome: how }) => `${phase} ${how}`),
    failure: runs.find(({ failure }) => failure !== undefined)?.failure?.message,
  };
}

function bodyOf(content: Sending["body"] & {}): Body {
  if (typeof content === "string" || content instanceof Uint8Array) return bytesBody(Buffer.from(content));
  const pieces = content.map((piece) => Buffer.from(piece));
  let sink: BodySink | undefined;
  const flow = (): void => {
    while (sink !== undefined) {
      const piece = pieces.shift();
      if (piece === undefined) {
        const done = sink;
        sink = undefined;
        return done.end(undefined);
      }
      if (!sink.write(piece, 0, piece.length)) return undefined;
    }
    return undefined;
  };
  return {
    lengthBytes: undefined,
    pipe: (to) => {
      sink = to;
      flow();
    },
    resume: flow,
    cancel: () => {
      sink = undefined;
    },
  };
}

interface ReadBody {
  readonly bytes: Uint8Array;
  readonly text: string;
  readonly cause: Failure | undefined;
}

function readAll(body: Body): Promise<ReadBody> {
  const { promise, resolve } = Promise.withResolvers<ReadBody>();
  const pieces: Buffer[] = [];
  const done = (cause: Failure | undefined): void => {
    const bytes = Buffer.concat(pieces);
    resolve({ bytes, text: bytes.toString(), cause });
  };
  body.pipe({
    write: (chunk, from, to) => pieces.push(Buffer.from(chunk.subarray(from, to))) > 0,
    end: () => done(undefined),
    abort: done,
  });
  return promise;
}

function never(): never {
  throw new Error("the component has not been built");
}
