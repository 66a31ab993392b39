// The PROXY protocol (HAProxy's specification, versions 1 and 2): who the client of a proxy before us was. It is believed
// only where configuration says that such a proxy stands there, since anybody can write these bytes. Pure.
import { isIPv4, isIPv6 } from "node:net";

/** Who connected to whom at the first proxy. */
export interface Proxied {
  readonly sourceIp: string;
  readonly sourcePort: number;
  readonly destinationIp: string;
  readonly destinationPort: number;
}

/** A header that was read. */
export interface ProxyHeader {
  /** Its length. */
  readonly bytes: number;
  /** `undefined` for health checks of the proxy itself (LOCAL) and for addresses that are none of IP (UNKNOWN, UNIX). */
  readonly proxied: Proxied | undefined;
}

/** §2.1: 107 bytes with the line's end hold the longest line. */
const V1_MAX_BYTES = 107;
/** The largest header with addresses and TLVs that is waited for. The specification asks for 216 at least; cloud balancers send less than 1 KiB. */
const V2_MAX_BYTES = 4096;
const V2_HEAD_BYTES = 16;
const V1_START = Buffer.from("PROXY ", "latin1");
const V2_START = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const PORT = /^(?:0|[1-9]\d{0,4})$/u;

/** Reads a header of either version. `absent`: these bytes are something else. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | "incomplete" | "absent" | "malformed" {
  if (startsLike(bytes, V2_START)) return bytes.length < V2_HEAD_BYTES ? "incomplete" : parseV2(bytes);
  if (startsLike(bytes, V1_START)) return bytes.length < V1_START.length ? "incomplete" : parseV1(bytes);
  return "absent";
}

function startsLike(bytes: Buffer, pattern: Buffer): boolean {
  const length = Math.min(bytes.length, pattern.length);
  return bytes.compare(pattern, 0, length, 0, length) === 0;
}

/** `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n` */
function parseV1(bytes: Buffer): ProxyHeader | "incomplete" | "malformed" {
  const end = bytes.subarray(0, V1_MAX_BYTES).indexOf("\r\n");
  if (end < 0) return bytes.length >= V1_MAX_BYTES ? "malformed" : "incomplete";
  const length = end + 2;
  const [, family, sourceIp = "", destinationIp = "", sourcePort = "", destinationPort = "", more] = bytes
    .latin1Slice(0, end)
    .split(" ");
  // What follows UNKNOWN is to be ignored (§2.1).
  if (family === "UNKNOWN") return { bytes: length, proxied: undefined };
  const isAddress = family === "TCP4" ? isIPv4 : family === "TCP6" ? isIPv6 : undefined;
  if (isAddress === undefined || more !== undefined) return "malformed";
  if (!isAddress(sourceIp) || !isAddress(destinationIp)) return "malformed";
  const ports = [sourcePort, destinationPort].map((port) => (PORT.test(port) ? Number(port) : 65_536));
  const [from = 65_536, to = 65_536] = ports;
  if (from > 65_535 || to > 65_535) return "malformed";
  return { bytes: length, proxied: { sourceIp, sourcePort: from, destinationIp, destinationPort: to } };
}

/** §2.2: signature, version and command, family and transport, length, addresses, TLVs (which are skipped). */
function parseV2(bytes: Buffer): ProxyHeader | "incomplete" | "malformed" {
  const command = bytes.readUInt8(12);
  const family = bytes.readUInt8(13);
  const length = V2_HEAD_BYTES + bytes.readUInt16BE(14);
  if (command !== 0x20 && command !== 0x21) return "malformed";
  if (length > V2_MAX_BYTES) return "malformed";
  const addressBytes = family === 0x11 ? 12 : family === 0x21 ? 36 : 0;
  const isProxied = command === 0x21 && addressBytes > 0;
  if (isProxied && length < V2_HEAD_BYTES + addressBytes) return "malformed";
  if (bytes.length < length) return "incomplete";
  if (!isProxied) return { bytes: length, proxied: undefined };
  const ipBytes = family === 0x11 ? 4 : 16;
  const render = family === 0x11 ? renderIpv4 : renderIpv6;
  const ports = V2_HEAD_BYTES + 2 * ipBytes;
  return {
    bytes: length,
    proxied: {
      sourceIp: render(bytes, V2_HEAD_BYTES),
      destinationIp: render(bytes, V2_HEAD_BYTES + ipBytes),
      sourcePort: bytes.readUInt16BE(ports),
      destinationPort: bytes.readUInt16BE(ports + 2),
    },
  };
}

function renderIpv4(bytes: Buffer, at: number): string {
  return bytes.subarray(at, at + 4).join(".");
}

/** RFC 5952: the longest run of two or more zero groups becomes `::`. */
function renderIpv6(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(at + 2 * index).toString(16));
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  if (best.length === 1) return groups.join(":");
  return `${groups.slice(0, best.start).join(":")}::${groups.slice(best.start + best.length).join(":")}`;
}

/** A header to send upstream. Addresses of two families are written as IPv6, the IPv4 one mapped. */
export function renderProxyHeader(version: "V1" | "V2", proxied: Proxied): Buffer {
  const { sourcePort, destinationPort } = proxied;
  const isV4 = isIPv4(proxied.sourceIp) && isIPv4(proxied.destinationIp);
  const map = (ip: string): string => (isV4 || isIPv6(ip) ? ip : `::ffff:${ip}`);
  const [source, destination] = [map(proxied.sourceIp), map(proxied.destinationIp)];
  if (version === "V1") {
    return Buffer.from(
      `PROXY ${isV4 ? "TCP4" : "TCP6"} ${source} ${destination} ${sourcePort} ${destinationPort}\r\n`,
      "latin1",
    );
  }
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(sourcePort, 0);
  ports.writeUInt16BE(destinationPort, 2);
  const addresses = [source, destination].map((ip) => (isV4 ? ipv4Bytes(ip) : ipv6Bytes(ip)));
  const head = Buffer.from([0x21, isV4 ? 0x11 : 0x21, 0, isV4 ? 12 : 36]);
  return Buffer.concat([V2_START, head, ...addresses, ports]);
}

function ipv4Bytes(ip: string): Buffer {
  return Buffer.from(ip.split(".").map(Number));
}

function groupsOf(part: string): string[] {
  return part === "" ? [] : part.split(":");
}

/** Of an address that `isIPv6` accepts. */
function ipv6Bytes(ip: string): Buffer {
  const mapped = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/u.exec(ip.replace(/%.*$/u, ""));
  const text =
    mapped === null
      ? ip.replace(/%.*$/u, "")
      : `${mapped[1] ?? ""}${ipv4Bytes(mapped[2] ?? "")
          .toString("hex")
          .replace(/^(.{4})/u, "$1:")}`;
  const [left = "", right] = text.split("::");
  const head = groupsOf(left);
  const tail = right === undefined ? [] : groupsOf(right);
  const groups = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => "0"), ...tail];
  const bytes = Buffer.alloc(16);
  groups.forEach((group, index) => bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * index));
  return bytes;
}
