// The line of one exchange in Istio's default format, so that parsers made for it read ours. It is written as bytes: as text,
// its twenty parts would be as many strings, and they cost more than most stages of the request path.
import type { Exchange } from "../exchange/exchange.ts";
import { matchesName, type HeaderMap } from "../exchange/headers.ts";

/** Up to this length a loop is faster than a call. */
const LOOP_MAX = 32;
const LARGE_BYTES = 64 * 1024;
const SPACE = 32;
const LF = 10;
const DASH = 45;
const ZERO = 48;
const KEEP = 0;

/** Text on its way into a buffer, as Latin-1. What has no room is left out, and `isShort` says so. */
export class LineBuffer {
  readonly bytes: Buffer;
  /** Where the next byte goes. */
  at = 0;
  /** Something did not fit. */
  isShort = false;

  constructor(sizeBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }

  byte(value: number): void {
    if (this.at >= this.bytes.length) this.isShort = true;
    else this.bytes[this.at++] = value;
  }

  text(value: string): void {
    const { bytes } = this;
    const { length } = value;
    let { at } = this;
    if (at + length > bytes.length) {
      this.isShort = true;
      return;
    }
    if (length > LOOP_MAX) at += bytes.latin1Write(value, at);
    else for (let index = 0; index < length; index++) bytes[at++] = value.charCodeAt(index);
    this.at = at;
  }

  /** `-` for what is not there. */
  orDash(value: string): void {
    if (value === "") this.byte(DASH);
    else this.text(value);
  }

  /** A whole number. */
  number(value: number): void {
    if (value >= 0 && value < 10) this.byte(ZERO + value);
    else if (value >= 10 && value < 1000 && this.at + 3 <= this.bytes.length) {
      // Sizes, statuses and milliseconds mostly are; a string would be made for each.
      if (value >= 100) this.bytes[this.at++] = ZERO + Math.floor(value / 100);
      this.bytes[this.at++] = ZERO + (Math.floor(value / 10) % 10);
      this.bytes[this.at++] = ZERO + (value % 10);
    } else this.text(String(value));
  }

  copy(from: Buffer, start: number, end: number): void {
    const { bytes } = this;
    let { at } = this;
    if (at + (end - start) > bytes.length) {
      this.isShort = true;
      return;
    }
    if (end - start > LOOP_MAX) at += from.copy(bytes, at, start, end);
    else for (let index = start; index < end; index++) bytes[at++] = from[index] ?? 0;
    this.at = at;
  }

  /** The value of that field, as `findFields` found it. */
  field(headers: HeaderMap, name: string, position: number): void {
    const { bytes, offsets } = headers;
    if (position === SEVERAL) this.text(headers.get(name) ?? "-");
    else if (position === NONE) this.byte(DASH);
    else this.copy(bytes, offsets[position * 4 + 2] ?? 0, offsets[position * 4 + 3] ?? 0);
  }
}

/** Istio's `EnvoyTextLogFormat`; a value that is not there is `-`. False, and nothing is written, where there is no room. */
export function writeAccessLine(line: LineBuffer, exchange: Exchange, nowMonoMs: number): boolean {
  const start = line.at;
  line.isShort = false;
  writeWhat(line, exchange, nowMonoMs);
  writeWho(line, exchange);
  if (!line.isShort) return true;
  line.at = start;
  return false;
}

function writeWhat(line: LineBuffer, exchange: Exchange, nowMonoMs: number): void {
  instant.write(line, exchange);
  line.text(exchange.method);
  line.byte(SPACE);
  const path = exchange.originalPath === "" ? exchange.path : exchange.originalPath;
  // A CONNECT has none.
  line.text(path === "" ? "-" : path);
  ending.write(line, exchange);
  line.number(exchange.bytesReceived);
  line.byte(SPACE);
  line.number(exchange.bytesSent);
  line.byte(SPACE);
  line.number(Math.round(nowMonoMs - exchange.startedMonoMs));
  line.byte(SPACE);
  if (exchange.repliedMonoMs === 0) line.byte(DASH);
  else line.number(Math.round(exchange.repliedMonoMs - exchange.sentMonoMs));
}

function writeWho(line: LineBuffer, exchange: Exchange): void {
  const { downstream, decision } = exchange;
  client.write(line, exchange);
  line.orDash(exchange.requestId);
  way.write(line, exchange);
  line.text(downstream.remoteAddress);
  line.byte(SPACE);
  line.orDash(downstream.tls?.serverName ?? "");
  line.byte(SPACE);
  line.orDash(decision?.routeName ?? "");
  line.byte(LF);
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

/** A part of the line that is mostly the same again: the last one is kept as bytes. */
abstract class Part {
  readonly #kept = new LineBuffer(4096);

  write(line: LineBuffer, exchange: Exchange): void {
    const kept = this.#kept;
    if (!this.isSame(exchange)) {
      kept.at = 0;
      kept.isShort = false;
      this.render(kept, exchange);
    }
    if (kept.isShort) this.render(line, exchange);
    else line.copy(kept.bytes, 0, kept.at);
  }

  /** Whether it would be rendered as the last time; if not, it will be now. */
  protected abstract isSame(exchange: Exchange): boolean;
  protected abstract render(line: LineBuffer, exchange: Exchange): void;
}

/** When it began: many do in one millisecond. */
class Instant extends Part {
  #atMs = -1;

  protected override isSame({ startedAtMs }: Exchange): boolean {
    if (startedAtMs === this.#atMs) return true;
    this.#atMs = startedAtMs;
    return false;
  }

  protected override render(line: LineBuffer, { startedAtMs }: Exchange): void {
    line.byte(91);
    line.text(renderInstant(startedAtMs));
    line.text('] "');
  }
}

/** For whom and by what it was asked: what fields say that mostly are the same block again. */
class Client extends Part {
  #block = 0;

  protected override isSame({ headers }: Exchange): boolean {
    const { source, added } = headers;
    const block = source?.id ?? 0;
    const isSame = block !== 0 && block === this.#block;
    // Fields that were dropped or added since may be those two.
    this.#block = source?.marks === headers.marks && !addsFields(added) ? block : 0;
    return isSame && this.#block === block;
  }

  protected override render(line: LineBuffer, { headers }: Exchange): void {
    findFields(headers);
    line.text(' "');
    line.field(headers, FORWARDED_FOR, forwardedForAt);
    line.text('" "');
    line.field(headers, USER_AGENT, userAgentAt);
    line.text('" "');
  }
}

/** Whether names of those lengths are among fields that were added. */
function addsFields(added: readonly string[]): boolean {
  for (let index = 0; index < added.length; index += 2) {
    const length = added[index]?.length;
    if (length === USER_AGENT.length || length === FORWARDED_FOR.length) return true;
  }
  return false;
}

/** How it ended. */
class Ending extends Part {
  #protocol = "";
  #status = -1;
  #flags = "";
  #details = "";

  protected override isSame({ protocol, status, flags, details }: Exchange): boolean {
    if (status === this.#status && details === this.#details && flags === this.#flags && protocol === this.#protocol)
      return true;
    this.#protocol = protocol;
    this.#status = status;
    this.#flags = flags;
    this.#details = details;
    return false;
  }

  protected override render(line: LineBuffer, { protocol, status, flags, details }: Exchange): void {
    line.byte(SPACE);
    line.text(protocol);
    line.text('" ');
    line.number(status);
    line.byte(SPACE);
    line.text(flags);
    line.byte(SPACE);
    line.orDash(details);
    line.text(' - "-" ');
  }
}

/** Which way it went: from the host that was asked for to our own address. */
class Way extends Part {
  #authority = "";
  #upstreamHost = "";
  #cluster: string | undefined = "";
  #upstreamLocalAddress = "";
  #localAddress = "";

  protected override isSame(exchange: Exchange): boolean {
    const { authority, upstreamHost, upstreamLocalAddress, downstream } = exchange;
    const cluster = exchange.decision?.cluster;
    if (
      authority === this.#authority &&
      upstreamHost === this.#upstreamHost &&
      upstreamLocalAddress === this.#upstreamLocalAddress &&
      cluster === this.#cluster &&
      downstream.localAddress === this.#localAddress
    )
      return true;
    this.#authority = authority;
    this.#upstreamHost = upstreamHost;
    this.#cluster = cluster;
    this.#upstreamLocalAddress = upstreamLocalAddress;
    this.#localAddress = downstream.localAddress;
    return false;
  }

  protected override render(line: LineBuffer, exchange: Exchange): void {
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
  }
}

const instant = new Instant();
const client = new Client();
const ending = new Ending();
const way = new Way();

let scratch = new LineBuffer(LARGE_BYTES);

/** The line by itself, as text. */
export function renderAccessLine(exchange: Exchange, nowMonoMs: number): string {
  scratch.at = 0;
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
