// What makes a message of HTTP/2 malformed (RFC 9113 §8.1.1 to §8.5): whatever HTTP/1.1 could not say, or could say in a
// way that the next hop reads differently, is refused here, as strictly as in `http1-grammar.ts`.
import { latin1 } from "../exchange/headers.ts";
import type { BlockKind } from "./hpack-block.ts";
import {
  AUTHORITY,
  BAD_NAME,
  BAD_VALUE,
  CONNECTION,
  CONTENT_LENGTH,
  COOKIE,
  EXPECT,
  HOST,
  HTTP2_SETTINGS,
  KIND,
  METHOD,
  NOT_IN_TRAILERS,
  PATH,
  PROTOCOL,
  PSEUDO_LAST,
  SCHEME,
  STATUS,
  TE,
} from "./hpack-static.ts";
import { AUTHORITY as AUTHORITY_TEXT } from "./http1-grammar.ts";

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u;
/** As the target of HTTP/1.1: visible ASCII without a fragment (RFC 9112 §3.2). */
const PATH_TEXT = /^\/[!-"$-~]*$/u;
const STATUS_TEXT = /^[0-9]{3}$/u;
/** RFC 9110 §9.3.6: CONNECT names a port. */
const HOST_AND_PORT = /.:\d+$/u;
export const BAD_VALUE_PROBLEM = "a field's value holds a control character or starts or ends blank";
/** A name has 255 octets at most (RFC 1035 §2.3.4). */
const AUTHORITY_MAX_BYTES = 1000;
/** 15 digits stay exact in a double. */
const LENGTH_DIGITS_MAX = 15;

/** Fields of one message that mean something to the proxy itself, and what is wrong with them. Used again for each. */
export class MessageRules {
  kind: BlockKind = "request";
  method = "";
  path = "";
  scheme = "";
  authority = "";
  protocol = "";
  status = 0;
  contentLength = -1;
  expectsContinue = false;
  expectsUnknown = false;
  /** The first reason why the message is malformed. */
  malformed = "";
  cookies = 0;
  /** `:authority` came, so the line of `Host` is to be written. */
  hasAuthority = false;
  /** No field but pseudo-header fields came yet. */
  isOpening = true;
  /** `te: trailers` was the field that was taken last. */
  isTe = false;

  #seen = 0;
  #checkedAuthority = "";

  begin(kind: BlockKind): void {
    this.kind = kind;
    this.method = "";
    this.path = "";
    this.scheme = "";
    this.authority = "";
    this.protocol = "";
    this.status = 0;
    this.contentLength = -1;
    this.expectsContinue = false;
    this.expectsUnknown = false;
    this.malformed = "";
    this.cookies = 0;
    this.hasAuthority = false;
    this.isOpening = true;
    this.isTe = false;
    this.#seen = 0;
  }

  refuse(problem: string): false {
    if (this.malformed === "") this.malformed = problem;
    return false;
  }

  /** Takes a field that is not ordinary; whether it stays among the fields. */
  take(note: number, bytes: Buffer, start: number, end: number): boolean {
    const kind = note & KIND;
    this.isTe = false;
    if (kind === BAD_NAME) return this.refuse("a field's name is empty, upper-case or no token");
    if ((note & BAD_VALUE) !== 0) return this.refuse(BAD_VALUE_PROBLEM);
    if (kind !== 0 && kind <= PSEUDO_LAST) return this.pseudo(kind, latin1(bytes, start, end));
    this.isOpening = false;
    if (kind === CONNECTION) return this.refuse("a field of one connection came");
    if (this.kind === "trailers" && (note & NOT_IN_TRAILERS) !== 0) return false;
    if (kind === COOKIE) this.cookies++;
    else if (kind === HOST) return this.#host(bytes, start, end);
    else if (kind === CONTENT_LENGTH) return this.#length(bytes, start, end);
    else if (kind === EXPECT) return this.#expect(bytes, start, end);
    else if (kind === TE) return this.#te(bytes, start, end);
    else if (kind === HTTP2_SETTINGS) return false;
    return true;
  }

  /** Checks what can be checked once the block is whole. */
  finish(): void {
    if (this.malformed !== "") return;
    if (this.kind === "request") this.#request();
    else if (this.kind === "reply" && this.status === 0) this.refuse(":status is missing");
  }

  /** Takes a pseudo-header field, whose value is clean; always false, as none stays among the fields. */
  pseudo(kind: number, value: string): false {
    if (!this.isOpening) return this.refuse("a pseudo-header field came after a field");
    if (!this.#isFirst(kind)) return this.refuse("a pseudo-header field came twice");
    if (this.kind === "reply" ? kind !== STATUS : this.kind !== "request" || kind > PROTOCOL)
      return this.refuse(`a pseudo-header field came that ${this.kind} may not have`);
    if (kind === METHOD) this.#method(value);
    else if (kind === PATH) this.path = value;
    else if (kind === SCHEME) this.scheme = value;
    else if (kind === AUTHORITY) {
      this.hasAuthority = true;
      this.#authority(value);
    } else if (kind === PROTOCOL) this.#protocol(value);
    else this.#status(value);
    return false;
  }

  #isFirst(kind: number): boolean {
    const bit = 1 << kind;
    const isFirst = (this.#seen & bit) === 0;
    this.#seen |= bit;
    return isFirst;
  }

  #method(method: string): void {
    this.method = method;
    if (method !== "GET" && method !== "POST" && !TOKEN.test(method)) this.refuse(":method is not a token");
  }

  #authority(authority: string): void {
    this.authority = authority;
    // A connection nearly always names the same host.
    if (authority === this.#checkedAuthority) return;
    if (authority === "" || authority.length > AUTHORITY_MAX_BYTES || !AUTHORITY_TEXT.test(authority))
      this.refuse(":authority is not a host and a port");
    else this.#checkedAuthority = authority;
  }

  #protocol(protocol: string): void {
    this.protocol = protocol;
    if (!TOKEN.test(protocol)) this.refuse(":protocol is not a token");
  }

  #status(text: string): void {
    const status = STATUS_TEXT.test(text) ? Number(text) : -1;
    // RFC 9113 §8.6: HTTP/2 has no 101.
    if (status < 100 || status === 101) this.refuse(":status is not one that HTTP/2 has");
    else this.status = status;
  }

  /** RFC 9113 §8.3.1: the same as `:authority`, whose line it would repeat. */
  #host(bytes: Buffer, start: number, end: number): boolean {
    if (this.kind !== "request") return true;
    if (!this.#isFirst(HOST)) return this.refuse("there are two Host fields");
    const host = latin1(bytes, start, end);
    if (!this.hasAuthority) {
      this.#authority(host);
      return true;
    }
    if (host !== this.authority && host.toLowerCase() !== this.authority.toLowerCase())
      return this.refuse("Host is not :authority");
    return false;
  }

  /** RFC 9110 §8.6: one field, digits only. Two are refused even where they agree. */
  #length(bytes: Buffer, start: number, end: number): boolean {
    if (this.contentLength >= 0) return this.refuse("there are two content-length fields");
    const length = end > start && end - start <= LENGTH_DIGITS_MAX ? number(bytes, start, end) : -1;
    if (length < 0) return this.refuse("content-length is not a number");
    this.contentLength = length;
    return true;
  }

  #expect(bytes: Buffer, start: number, end: number): boolean {
    if (this.kind !== "request") return false;
    if (latin1(bytes, start, end).toLowerCase() === "100-continue") this.expectsContinue = true;
    else this.expectsUnknown = true;
    return false;
  }

  /** RFC 9113 §8.2.2: may only say `trailers`. */
  #te(bytes: Buffer, start: number, end: number): boolean {
    if (latin1(bytes, start, end).toLowerCase() !== "trailers") return this.refuse("te is not trailers");
    this.isTe = this.#isFirst(TE);
    return this.isTe;
  }

  #request(): void {
    if (this.method === "") this.refuse(":method is missing");
    else if (this.authority === "") this.refuse(":authority and Host are missing");
    else if (this.method === "CONNECT" && this.protocol === "") this.#connect();
    else if (this.protocol !== "" && this.method !== "CONNECT") this.refuse(":protocol came without CONNECT");
    else if (this.scheme !== "http" && this.scheme !== "https") this.refuse(":scheme is missing or not http or https");
    else if (!PATH_TEXT.test(this.path) && !(this.path === "*" && this.method === "OPTIONS"))
      this.refuse(":path is missing or not a path");
  }

  /** RFC 9113 §8.5. */
  #connect(): void {
    if ((this.#seen & ((1 << PATH) | (1 << SCHEME))) !== 0) this.refuse("CONNECT came with :path or :scheme");
    else if (!HOST_AND_PORT.test(this.authority)) this.refuse("CONNECT names no port");
  }
}

/** The number that the digits spell, -1 where something else stands between them. */
function number(bytes: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] ?? 0) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
