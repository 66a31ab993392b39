// A recording run through a version of a filter: each message again, as the proxy showed it to the filter, in this process.
// Nobody is called, nothing is sent; the clock shows the time of the recording.
import { fuelOf, type Filter, type Verdict } from "../../runtime/chain/filter.ts";
import { Redactor, REDACTED, Secrets } from "../../runtime/chain/secrets.ts";
import { describeVerdict, showAll } from "../../runtime/chain/seen-verdict.ts";
import { pictureOf } from "../../runtime/chain/witness.ts";
import { parseWith, type Parsed, type Problem } from "../../runtime/contract/problem.ts";
import { Recorded, type RecordedBody } from "../../runtime/contract/recording.ts";
import type { SeenEdit, SeenVerdict } from "../../runtime/contract/trial.ts";
import { bytesBody, EMPTY_BODY, type Body } from "../../runtime/exchange/body.ts";
import { Exchange, type Clock, type Downstream } from "../../runtime/exchange/exchange.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import { Reply } from "../../runtime/exchange/reply.ts";
import { METADATA_PREFIX } from "../wit/world.ts";

/** Exchanges of one file. */
const EXCHANGES_MAX = 100_000;

/** What a version decided about one message. */
export interface Replayed {
  readonly phase: "request" | "response";
  readonly seen: SeenVerdict;
  readonly tookMs: number;
  readonly fuel: number;
}

/** A message about which two versions decide otherwise; each with the edits that the other does not have. */
export interface ReplayDifference {
  readonly phase: Replayed["phase"];
  readonly before: SeenVerdict;
  readonly now: SeenVerdict;
}

/** Reads JSON lines; problems are told by their line. */
export function parseRecording(text: string): Parsed<readonly Recorded[]> {
  const recorded: Recorded[] = [];
  const problems: Problem[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const parsed = parseWith(Recorded, parseJson(line), `line ${index + 1}`);
    if (parsed.ok) recorded.push(parsed.value);
    else problems.push(...parsed.problems);
    if (recorded.length > EXCHANGES_MAX) {
      problems.push({ path: "", message: `holds more than ${EXCHANGES_MAX} exchanges` });
      break;
    }
  }
  if (recorded.length === 0 && problems.length === 0) problems.push({ path: "", message: "holds no exchange" });
  return problems.length === 0 ? { ok: true, value: recorded } : { ok: false, problems };
}

/** A clock that shows the time of the exchange that is replayed. */
export class ReplayClock implements Clock {
  #atMs = 0;
  #startedMs = 0;

  set(atMs: number): void {
    this.#atMs = atMs;
    this.#startedMs = performance.now();
  }

  now(): number {
    return this.#atMs + (performance.now() - this.#startedMs);
  }

  /** Recordings of several proxies are not in order, and this clock never goes back. */
  monotonic(): number {
    return performance.now();
  }
}

/** Asks a filter about one recorded exchange. */
export async function replayExchange(
  filter: Filter,
  recorded: Recorded,
  clock: ReplayClock,
): Promise<readonly Replayed[]> {
  clock.set(recorded.atMs);
  const exchange = exchangeOf(recorded, clock);
  const replayed: Replayed[] = [];
  if (filter.request !== undefined && recorded.request.decided !== undefined) {
    const ask = filter.request;
    replayed.push(await watch("request", filter, exchange, undefined, () => ask(exchange)));
  }
  const { response } = recorded;
  if (filter.response !== undefined && response !== undefined) {
    const ask = filter.response;
    const reply = new Reply(response.status, "", HeaderMap.from(response.headers), bodyOf(response.body));
    replayed.push(await watch("response", filter, exchange, reply, () => ask(exchange, reply)));
  }
  return replayed;
}

/** What was decided about each message when it was recorded. */
export function recordedVerdicts({ request, response }: Recorded): readonly Pick<Replayed, "phase" | "seen">[] {
  return [
    ...(request.decided === undefined ? [] : [{ phase: "request" as const, seen: request.decided }]),
    ...(response?.decided === undefined ? [] : [{ phase: "response" as const, seen: response.decided }]),
  ];
}

/** Where two versions differ. A value that was left out of a recording is like any other. */
export function compareReplays(
  before: readonly Pick<Replayed, "phase" | "seen">[],
  now: readonly Pick<Replayed, "phase" | "seen">[],
): readonly ReplayDifference[] {
  return (["request", "response"] as const).flatMap((phase) => {
    const was = before.find((one) => one.phase === phase)?.seen ?? NOTHING;
    const is = now.find((one) => one.phase === phase)?.seen ?? NOTHING;
    const onlyBefore = { ...was, edits: editsWithout(was.edits, is.edits) };
    const onlyNow = { ...is, edits: editsWithout(is.edits, was.edits) };
    const isAlike =
      was.verdict === is.verdict &&
      was.status === is.status &&
      was.body === is.body &&
      onlyBefore.edits.length + onlyNow.edits.length === 0;
    return isAlike ? [] : [{ phase, before: onlyBefore, now: onlyNow }];
  });
}

const NOTHING: SeenVerdict = { verdict: "proceed", edits: [], body: "kept" };

function editsWithout(edits: readonly SeenEdit[], others: readonly SeenEdit[]): SeenEdit[] {
  return edits.filter(
    ({ kind, name, value }) =>
      !others.some(
        (other) =>
          other.kind === kind &&
          other.name === name &&
          (other.value === value || other.value === REDACTED || value === REDACTED),
      ),
  );
}

async function watch(
  phase: Replayed["phase"],
  filter: Filter,
  exchange: Exchange,
  reply: Reply | undefined,
  run: () => Verdict | Promise<Verdict>,
): Promise<Replayed> {
  const message = reply ?? exchange;
  const before = pictureOf(exchange, reply);
  const { body } = message;
  const startedMs = performance.now();
  const verdict = await run();
  const tookMs = performance.now() - startedMs;
  const described = describeVerdict(verdict, before, pictureOf(exchange, reply), { before: body, after: message.body });
  const { edits, ...seen } = showAll(described);
  const shown = edits.map(({ kind, name, value }) => ({ kind, name, value: REDACTOR.written(name, value) }));
  return { phase, seen: { ...seen, edits: shown }, tookMs, fuel: fuelOf(filter, verdict) };
}

/** Fields that carry credentials are not printed here either. */
const REDACTOR = new Redactor(new Secrets());

function exchangeOf({ request, attributes, atMs }: Recorded, clock: Clock): Exchange {
  const { method, path, authority, headers, body } = request;
  const protocol = attributes["request.protocol"];
  const exchange = new Exchange(
    downstreamOf(attributes),
    method,
    path,
    authority,
    protocol === "HTTP/2" || protocol === "HTTP/1.0" ? protocol : "HTTP/1.1",
    HeaderMap.from(headers),
    bodyOf(body),
    { now: () => atMs, monotonic: () => clock.monotonic() },
  );
  exchange.requestId = attributes["request.id"] ?? "";
  exchange.scheme = attributes["request.scheme"] === "https" ? "https" : "http";
  exchange.service = attributes["destination.service"] ?? "unknown";
  const routeName = attributes["route.name"] ?? "";
  exchange.decision = { routeName, cluster: "", timeoutMs: 0, prepare: undefined, editReply: undefined };
  const metadata = Object.entries(attributes).filter(([name]) => name.startsWith(METADATA_PREFIX));
  if (metadata.length > 0) {
    exchange.metadata = new Map(metadata.map(([name, value]) => [name.slice(METADATA_PREFIX.length), value]));
  }
  return exchange;
}

function downstreamOf(attributes: Recorded["attributes"]): Downstream {
  const remoteIp = attributes["source.ip"] ?? "127.0.0.1";
  const localPort = Number(attributes["destination.port"] ?? 0);
  const principal = attributes["source.principal"];
  const serverName = attributes["connection.requested_server_name"] ?? "";
  const isTls = principal !== undefined || serverName !== "";
  return {
    direction: attributes["context.direction"] === "outbound" ? "outbound" : "inbound",
    remoteIp,
    remoteAddress: `${remoteIp}:${attributes["source.port"] ?? 0}`,
    localAddress: `127.0.0.1:${localPort}`,
    localPort,
    originalDestination: undefined,
    tls: isTls
      ? { serverName, version: "TLSv1.3", alpn: "", principal: principal ?? "", certificate: undefined, forwarded: "" }
      : undefined,
  };
}

function bodyOf(body: RecordedBody | undefined): Body {
  switch (body?.kind) {
    case "text":
      return bytesBody(Buffer.from(body.text));
    case "base64":
      return bytesBody(Buffer.from(body.base64, "base64"));
    case "left_out":
    case undefined:
      return EMPTY_BODY;
  }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // The schema says what is wrong with it.
    return undefined;
  }
}
