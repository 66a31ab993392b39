// IP addresses and networks as bits, compared as addresses and not as text: `::ffff:10.0.0.1` is `10.0.0.1`.
import { isIP } from "node:net";

/** An address: 16 bytes, IPv4 inside of `::ffff:0:0/96`. */
export type AddressBytes = Uint8Array;

/** Reads an address without zone; `undefined` where the text is none. */
export function parseAddress(text: string): AddressBytes | undefined {
  const family = isIP(text);
  if (family === 0 || text.includes("%")) return undefined;
  const bytes = new Uint8Array(16);
  if (family === 4) {
    bytes.set([255, 255, ...octets(text)], 10);
    return bytes;
  }
  const colon = text.lastIndexOf(":");
  const tail = text.slice(colon + 1);
  const isMixed = tail.includes(".");
  const [first = 0, second = 0, third = 0, fourth = 0] = isMixed ? octets(tail) : [];
  const groups = isMixed
    ? `${text.slice(0, colon + 1)}${((first << 8) | second).toString(16)}:${((third << 8) | fourth).toString(16)}`
    : text;
  const [head = "", rest] = groups.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = rest === undefined || rest === "" ? [] : rest.split(":");
  before.forEach((group, index) => putGroup(bytes, index, group));
  after.forEach((group, index) => putGroup(bytes, 8 - after.length + index, group));
  return bytes;
}

/** One spelling for each address: IPv4 dotted, IPv6 as the URL standard writes it. */
export function canonicalAddress(text: string): string | undefined {
  const bytes = parseAddress(text);
  if (bytes === undefined) return undefined;
  if (isIPv4(bytes)) return bytes.subarray(12).join(".");
  return new URL(`http://[${text}]`).hostname.slice(1, -1);
}

/** Addresses that begin with the same bits. */
export interface Network {
  readonly bytes: AddressBytes;
  /** Bits that count, of 128. */
  readonly bits: number;
}

/** Reads `10.1.0.0/16`, `fd00::/8` or one address; `undefined` where the text is neither. */
export function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const bytes = parseAddress(address);
  if (bytes === undefined) return undefined;
  if (slash < 0) return { bytes, bits: 128 };
  const length = text.slice(slash + 1);
  const bits = /^\d{1,3}$/u.test(length) ? Number(length) + (address.includes(":") ? 0 : 96) : 129;
  return bits > 128 ? undefined : { bytes, bits };
}

/** Whether an address is one of a network's. */
export function isInNetwork(address: AddressBytes, { bytes, bits }: Network): boolean {
  const whole = bits >> 3;
  for (let index = 0; index < whole; index++) if (address[index] !== bytes[index]) return false;
  const left = 8 - (bits & 7);
  return left === 8 || (address[whole] ?? 0) >> left === (bytes[whole] ?? 0) >> left;
}

function octets(text: string): readonly number[] {
  return text.split(".").map(Number);
}

function putGroup(bytes: Uint8Array, index: number, group: string): void {
  const value = Number.parseInt(group, 16);
  bytes[index * 2] = value >> 8;
  bytes[index * 2 + 1] = value & 0xff;
}

function isIPv4(bytes: AddressBytes): boolean {
  return bytes[10] === 255 && bytes[11] === 255 && bytes.subarray(0, 10).every((byte) => byte === 0);
}
