// A set of networks, asked for an address in as many steps as it has lengths of prefixes.
import { parseAddress, parseNetwork, type AddressBytes, type Network } from "../expression/address.ts";

export class NetworkSet {
  /** Prefixes as hexadecimal digits, by their length in bits. */
  readonly #prefixes = new Map<number, Set<string>>();

  add({ bytes, bits }: Network): void {
    let known = this.#prefixes.get(bits);
    if (known === undefined) {
      known = new Set();
      this.#prefixes.set(bits, known);
    }
    known.add(prefixOf(bytes, bits));
  }

  has(address: AddressBytes): boolean {
    for (const [bits, known] of this.#prefixes) if (known.has(prefixOf(address, bits))) return true;
    return false;
  }
}

/** A test of addresses against these networks, or the first text that is none. */
export function compileNetworks(
  entries: readonly string[],
): { readonly ok: true; readonly value: (text: string) => boolean } | { readonly ok: false; readonly wrong: string } {
  const set = new NetworkSet();
  for (const entry of entries) {
    const network = parseNetwork(entry);
    if (network === undefined) return { ok: false, wrong: entry };
    set.add(network);
  }
  const has = (text: string): boolean => {
    const address = parseAddress(text);
    return address !== undefined && set.has(address);
  };
  return { ok: true, value: has };
}

function prefixOf(bytes: AddressBytes, bits: number): string {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bits >> 3).toString("latin1");
  const left = bits & 7;
  return left === 0 ? whole : whole + String.fromCharCode((bytes[bits >> 3] ?? 0) >> (8 - left));
}
