// Where a connection was going before iptables redirected it here. The kernel remembers it; Bun has no call for it, so
// libc's is called: about 0.8 µs, once for each connection of a capture port.
import { dlopen, FFIType } from "bun:ffi";
import type { Destination } from "../exchange/exchange.ts";

/** A connection, as far as this needs it. */
export interface RedirectedSocket {
  /** Bun has it and does not document it. */
  readonly fd?: number;
  readonly localAddress: string;
  readonly localPort: number;
}

/** `undefined` where the connection was not redirected: who connected meant this port. */
export type ReadOriginalDestination = (socket: RedirectedSocket) => Destination | undefined;

/** linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h: the same number at two levels. */
const SO_ORIGINAL_DST = 80;
const SOL_IP = 0;
const SOL_IPV6 = 41;
/** sizeof(struct sockaddr_in) and sizeof(struct sockaddr_in6). */
const IPV4_BYTES = 16;
const IPV6_BYTES = 28;

/** Opens the system's C library. Throws, with its reason, where there is none (anything but Linux). */
export function openOriginalDst(): ReadOriginalDestination {
  const { getsockopt } = dlopen("libc.so.6", {
    getsockopt: {
      args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr],
      returns: FFIType.i32,
    },
  }).symbols;
  const address = Buffer.alloc(IPV6_BYTES);
  const length = new Uint32Array(1);
  return function readOriginalDestination(socket) {
    // An IPv4 caller of an IPv6 socket shows as ::ffff:10.0.0.1, and is asked about as IPv4.
    const isIpv4 = socket.localAddress.includes(".");
    length[0] = isIpv4 ? IPV4_BYTES : IPV6_BYTES;
    const level = isIpv4 ? SOL_IP : SOL_IPV6;
    // ENOENT: conntrack does not know the connection, so nothing redirected it.
    if (getsockopt(socket.fd ?? -1, level, SO_ORIGINAL_DST, address, length) !== 0) return undefined;
    const port = address.readUInt16BE(2);
    const text = isIpv4 ? renderIpv4(address, 4) : renderIpv6(address, 8);
    // One that was not redirected is known as well; its original destination is where it arrived.
    if (port === socket.localPort && text === unmapped(socket.localAddress)) return undefined;
    return { ip: text, port };
  };
}

/** `::ffff:10.0.0.1` is `10.0.0.1`. */
function unmapped(address: string): string {
  return address.includes(".") ? address.slice(address.lastIndexOf(":") + 1) : address;
}

/** Four bytes as `10.0.0.1`. */
export function renderIpv4(bytes: Buffer, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

/** Sixteen bytes as RFC 5952 §4 writes them: the longest run of two or more zero groups, the first of equals, is `::`. */
export function renderIpv6(bytes: Buffer, at: number): string {
  let runStart = -1;
  let runLength = 1;
  for (let group = 0; group < 8; group++) {
    let zeros = 0;
    while (group + zeros < 8 && bytes.readUInt16BE(at + (group + zeros) * 2) === 0) zeros++;
    if (zeros > runLength) [runStart, runLength] = [group, zeros];
    group += zeros;
  }
  let text = "";
  for (let group = 0; group < 8; group++) {
    if (group === runStart) {
      text += "::";
      group += runLength - 1;
      continue;
    }
    if (text !== "" && !text.endsWith(":")) text += ":";
    text += bytes.readUInt16BE(at + group * 2).toString(16);
  }
  return text;
}
