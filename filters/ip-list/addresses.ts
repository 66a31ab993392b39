// Sets of IP addresses, of both versions, from addresses and CIDR blocks (RFC 4632, RFC 4291). Pure.

/** An address as a number. IPv4 in the form of IPv6 (`::ffff:10.0.0.1`) is the IPv4 address that it means. */
export type Address = { readonly version: 4; readonly value: number } | { readonly version: 6; readonly value: bigint };

/** Whether an address is in the set. Text that is no address is in none. */
export type AddressSet = (address: Address) => boolean;

/** `undefined` where the text is no address. A zone (`%eth0`) is cut off. */
export function parseAddress(text: string): Address | undefined {
  if (!text.includes(":")) {
    const value = parseV4(text);
    return value === undefined ? undefined : { version: 4, value };
  }
  const groups = parseV6(text.split("%", 1)[0] ?? "");
  if (groups === undefined) return undefined;
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (isMapped) return { version: 4, value: (groups[6] ?? 0) * 65_536 + (groups[7] ?? 0) };
  return { version: 6, value: groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n) };
}

/** The set of addresses and blocks such as `10.0.0.0/8`; or what is wrong, by index. */
export function compileAddresses(
  blocks: readonly string[],
): { readonly ok: true; readonly set: AddressSet } | { readonly ok: false; readonly problems: readonly Fault[] } {
  const four: Range<number>[] = [];
  const six: Range<bigint>[] = [];
  const problems: Fault[] = [];
  blocks.forEach((text, index) => {
    const block = parseBlock(text);
    if (typeof block === "string") problems.push({ index, message: block });
    else if (block.version === 4) four.push(block);
    else six.push(block);
  });
  if (problems.length > 0) return { ok: false, problems };
  const ranges = { four: merge(four), six: merge(six) };
  return {
    ok: true,
    set: (address) => (address.version === 4 ? covers(ranges.four, address.value) : covers(ranges.six, address.value)),
  };
}

export interface Fault {
  readonly index: number;
  readonly message: string;
}

interface Range<Value> {
  readonly first: Value;
  readonly last: Value;
}

type Block = ({ readonly version: 4 } & Range<number>) | ({ readonly version: 6 } & Range<bigint>);

function parseBlock(text: string): Block | string {
  const [, host = "", prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/u.exec(text) ?? [];
  const address = parseAddress(host);
  if (address === undefined) return `${JSON.stringify(text)} is not an address or a block such as "10.0.0.0/8"`;
  const bits = address.version === 4 ? 32 : 128;
  const length = prefix === undefined ? bits : Number(prefix);
  if (length > bits) return `${JSON.stringify(text)} has a prefix of ${length} bits, an address has ${bits}`;
  // A block with bits behind its prefix is a slip of the pen, and one can only guess which half is meant.
  const rest = `${JSON.stringify(text)} has bits behind its prefix of ${length}`;
  if (address.version === 4) {
    const size = 2 ** (32 - length);
    const { value } = address;
    return value % size === 0 ? { version: 4, first: value, last: value + size - 1 } : rest;
  }
  const size = 1n << BigInt(128 - length);
  const { value } = address;
  return value % size === 0n ? { version: 6, first: value, last: value + size - 1n } : rest;
}

/** In order, and none overlaps another. */
function merge<Value extends number | bigint>(ranges: readonly Range<Value>[]): readonly Range<Value>[] {
  const merged: Range<Value>[] = [];
  for (const range of ranges.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const before = merged.at(-1);
    if (before === undefined || range.first > before.last) merged.push(range);
    else if (range.last > before.last) merged[merged.length - 1] = { first: before.first, last: range.last };
  }
  return merged;
}

function covers<Value extends number | bigint>(ranges: readonly Range<Value>[], value: Value): boolean {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle];
    if (range === undefined || value < range.first) high = middle;
    else if (value > range.last) low = middle + 1;
    else return true;
  }
  return false;
}

function parseV4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    // No leading zeros: some programs read them as octal.
    if (!/^(?:0|[1-9]\d{0,2})$/u.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

/** Eight groups of 16 bits. */
function parseV6(text: string): readonly number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => groupsOf(half));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  if (halves.length === 1) return head.length === 8 ? head : undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  return missing < 1 ? undefined : [...head, ...Array.from({ length: missing }, () => 0), ...(tail ?? [])];
}

function groupsOf(text: string): readonly number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    const dotted = index === parts.length - 1 && part.includes(".") ? parseV4(part) : undefined;
    if (dotted !== undefined) groups.push(Math.floor(dotted / 65_536), dotted % 65_536);
    else if (/^[0-9A-Fa-f]{1,4}$/u.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}
