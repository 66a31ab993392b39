// The line of one exchange in Istio's default format, so that parsers made for it read ours. It is written as bytes: as text,
// its twenty parts would be as many strings, and they cost more than most stages of the request path.
import type { Exchange } from "../exchange/exchange.ts";
import { matchesName, type HeaderMap } from "../exchange/headers.ts";
import { writeTail } from "./access-tail.ts";
import { Kept, LineBuffer } from "./line-buffer.ts";

const LARGE_BYTES = 64 * 1024;
const SPACE = 32;
const LF = 10;
const DASH = 45;
const KEEP = 0;

/** The line that was written last, of which the next one often differs in its path and its id alone. */
const last = {
  line: new LineBuffer(0),
  cycle: 0,
  start: 0,
  end: 0,
  /** From `start`; what filters have to say begins at `end`. */
  pathAt: 0,
  path: "",
  idAt: 0,
  idLength: 0,
  method: "",
  bytesReceived: 0,
  bytesSent: 0,
  tookMs: 0,
  upstreamMs: 0,
  remoteAddress: "",
  serverName: "",
  routeName: "",
};

/** Istio's `EnvoyTextLogFormat` and what filters add to it; a value that is not there is `-`. False, and nothing is written, where there is no room. */
export function writeAccessLine(line: LineBuffer, exchange: Exchange, nowMonoMs: number): boolean {
  const start = line.at;
  line.isShort = false;
  const { method, bytesReceived, bytesSent, downstream, decision } = exchange;
  const requested = exchange.originalPath === "" ? exchange.path : exchange.originalPath;
  // A CONNECT has none.
  const path = requested === "" ? "-" : requested;
  const id = exchange.requestId === "" ? "-" : exchange.requestId;
  const tookMs = Math.round(nowMonoMs - exchange.startedMonoMs);
  const upstreamMs = exchange.repliedMonoMs === 0 ? NONE : Math.round(exchange.repliedMonoMs - exchange.sentMonoMs);
  const { remoteAddress } = downstream;
  const serverName = downstream.tls?.serverName ?? "";
  const routeName = decision?.routeName ?? "";
  const isSameInstant = recallInstant(exchange);
  const isSameEnding = recallEnding(exchange);
  const isSameClient = recallClient(exchange);
  const isSameWay = recallWay(exchange);
  if (
    isSameInstant &&
    isSameEnding &&
    isSameClient &&
    isSameWay &&
    last.line === line &&
    last.cycle === line.cycle &&
    last.path.length === path.length &&
    last.idLength === id.length &&
    last.tookMs === tookMs &&
    last.upstreamMs === upstreamMs &&
    last.bytesReceived === bytesReceived &&
    last.bytesSent === bytesSent &&
    last.method === method &&
    last.remoteAddress === remoteAddress &&
    last.serverName === serverName &&
    last.routeName === routeName
  ) {
    if (!line.repeat(last.start, last.end)) return false;
    if (path !== last.path) line.overwrite(path, start + last.pathAt);
    line.overwrite(id, start + last.idAt);
    return finish(line, exchange, start);
  }
  instant.write(line, exchange, isSameInstant);
  line.text(method);
  line.byte(SPACE);
  last.pathAt = line.at - start;
  line.text(path);
  ending.write(line, exchange, isSameEnding);
  line.number(bytesReceived);
  line.byte(SPACE);
  line.number(bytesSent);
  line.byte(SPACE);
  line.number(tookMs);
  line.byte(SPACE);
  if (upstreamMs === NONE) line.byte(DASH);
  else line.number(upstreamMs);
  client.write(line, exchange, isSameClient);
  last.idAt = line.at - start;
  line.text(id);
  way.write(line, exchange, isSameWay);
  line.text(remoteAddress);
  line.byte(SPACE);
  line.orDash(serverName);
  line.byte(SPACE);
  line.orDash(routeName);
  last.line = line;
  last.cycle = line.cycle;
  last.start = start;
  last.end = line.at;
  last.path = path;
  last.idLength = id.length;
  last.method = method;
  last.bytesReceived = bytesReceived;
  last.bytesSent = bytesSent;
  last.tookMs = tookMs;
  last.upstreamMs = upstreamMs;
  last.remoteAddress = remoteAddress;
  last.serverName = serverName;
  last.routeName = routeName;
  return finish(line, exchange, start);
}

/** What filters have to say, and the end; false, and the line is taken back, where there is no room. */
function finish(line: LineBuffer, exchange: Exchange, start: number): boolean {
  writeTail(line, exchange);
  line.byte(LF);
  if (!line.isShort) return true;
  last.cycle = NONE;
  line.at = start;
  return false;
}

const FORWARDED_FOR = "x-forwarded-for";
const USER_AGENT = "user-agent";
const NONE = -1;
/** Not one field as it came: a list, or one that was added. */
const SEVERAL = -2;
let forwardedForAt = NONE;
let userAgentAt = NONE;

/** Where both fields are, by one look at each field: those of other lengths are passed over. */
function findFields({ bytes, offsets, marks, count, added }: HeaderMap): void {
  forwardedForAt = NONE;
  userAgentAt = NONE;
  for (let field = 0; field < count; field++) {
    const start = offsets[field * 4] ?? 0;
    const length = (offsets[field * 4 + 1] ?? 0) - start;
    if (length === USER_AGENT.length) {
      if (marks[field] === KEEP && matchesName(bytes, start, USER_AGENT))
        userAgentAt = userAgentAt === NONE ? field : SEVERAL;
    } else if (length === FORWARDED_FOR.length) {
      if (marks[field] === KEEP && matchesName(bytes, start, FORWARDED_FOR))
        forwardedForAt = forwardedForAt === NONE ? field : SEVERAL;
    }
  }
  for (let index = 0; index < added.length; index += 2) {
    const length = added[index]?.length;
    if (length === USER_AGENT.length) userAgentAt = SEVERAL;
    else if (length === FORWARDED_FOR.length) forwardedForAt = SEVERAL;
  }
}

const instant = new Kept((line, { startedAtMs }) => {
  line.byte(91);
  line.text(renderInstant(startedAtMs));
  line.text('] "');
});
let instantAtMs = -1;

/** When it began: many do in one millisecond. */
function recallInstant({ startedAtMs }: Exchange): boolean {
  const isSame = startedAtMs === instantAtMs;
  instantAtMs = startedAtMs;
  return isSame;
}

const client = new Kept((line, { headers }) => {
  findFields(headers);
  line.text(' "');
  writeField(line, headers, FORWARDED_FOR, forwardedForAt);
  line.text('" "');
  writeField(line, headers, USER_AGENT, userAgentAt);
  line.text('" "');
});
/** The block that said it last and says it alone; 0 where there is none. */
let clientBlock = 0;

/** For whom and by what it was asked: fields that mostly are those of the same block again. */
function recallClient({ headers }: Exchange): boolean {
  const { source, marks, added } = headers;
  // Fields that were dropped or added since may be those two.
  const block = source === undefined || source.marks !== marks || addsFields(added) ? 0 : source.id;
  const isSame = block !== 0 && block === clientBlock;
  clientBlock = block;
  return isSame;
}

/** Whether names of those lengths are among fields that were added. */
function addsFields(added: readonly string[]): boolean {
  for (let index = 0; index < added.length; index += 2) {
    const length = added[index]?.length;
    if (length === USER_AGENT.length || length === FORWARDED_FOR.length) return true;
  }
  return false;
}

const ending = new Kept((line, { protocol, status, flags, details }) => {
  line.byte(SPACE);
  line.text(protocol);
  line.text('" ');
  line.number(status);
  line.byte(SPACE);
  line.text(flags);
  line.byte(SPACE);
  line.orDash(details);
  line.text(' - "-" ');
});
const lastEnding = { protocol: "", status: -1, flags: "", details: "" };

/** How it ended. */
function recallEnding({ protocol, status, flags, details }: Exchange): boolean {
  const known = lastEnding;
  const isSame =
    status === known.status && details === known.details && flags === known.flags && protocol === known.protocol;
  if (!isSame) {
    known.protocol = protocol;
    known.status = status;
    known.flags = flags;
    known.details = details;
  }
  return isSame;
}

const way = new Kept((line, exchange) => {
  line.text('" "');
  line.text(exchange.authority);
  line.text('" "');
  line.orDash(exchange.upstreamHost);
  line.text('" ');
  line.text(exchange.decision?.cluster ?? "-");
  line.byte(SPACE);
  line.orDash(exchange.upstreamLocalAddress);
  line.byte(SPACE);
  line.text(exchange.downstream.localAddress);
  line.byte(SPACE);
});
const lastWay = { authority: "", upstreamHost: "", cluster: "", upstreamLocalAddress: "", localAddress: "" };

/** Which way it went: from the host that was asked for to our own address. */
function recallWay({ authority, upstreamHost, upstreamLocalAddress, downstream, decision }: Exchange): boolean {
  const { localAddress } = downstream;
  const cluster = decision?.cluster ?? "-";
  const known = lastWay;
  const isSame =
    authority === known.authority &&
    upstreamHost === known.upstreamHost &&
    upstreamLocalAddress === known.upstreamLocalAddress &&
    cluster === known.cluster &&
    localAddress === known.localAddress;
  if (!isSame) {
    known.authority = authority;
    known.upstreamHost = upstreamHost;
    known.cluster = cluster;
    known.upstreamLocalAddress = upstreamLocalAddress;
    known.localAddress = localAddress;
  }
  return isSame;
}

/** The value of that field, as `findFields` found it. */
function writeField(line: LineBuffer, headers: HeaderMap, name: string, position: number): void {
  const { bytes, offsets } = headers;
  if (position === SEVERAL) line.text(headers.get(name) ?? "-");
  else if (position === NONE) line.byte(DASH);
  else line.copy(bytes, offsets[position * 4 + 2] ?? 0, offsets[position * 4 + 3] ?? 0);
}

let scratch = new LineBuffer(LARGE_BYTES);

/** The line by itself, as text. */
export function renderAccessLine(exchange: Exchange, nowMonoMs: number): string {
  scratch.clear();
  while (!writeAccessLine(scratch, exchange, nowMonoMs)) scratch = new LineBuffer(scratch.bytes.length * 2);
  return scratch.bytes.latin1Slice(0, scratch.at);
}

let lastSecond = -1;
let lastSecondText = "";

/** RFC 3339 with milliseconds, up to the second. Rendered once a second. */
function secondsOf(second: number): string {
  if (second !== lastSecond) {
    lastSecond = second;
    lastSecondText = new Date(second * 1000).toISOString().slice(0, 20);
  }
  return lastSecondText;
}

/** RFC 3339 with milliseconds. */
export function renderInstant(atMs: number): string {
  const whole = Math.floor(atMs);
  const second = Math.floor(whole / 1000);
  return `${secondsOf(second)}${String(whole - second * 1000).padStart(3, "0")}Z`;
}
