// How the deriving process hands files to the one that asked: a line of JSON that lists them, then their bytes.
import { z } from "zod";
import type { Parsed } from "../../runtime/contract/problem.ts";

const Listing = z.union([
  z.strictObject({ files: z.array(z.tuple([z.string(), z.int().min(0)])).max(64) }),
  z.strictObject({ fault: z.string() }),
]);

/** Files, or what is wrong with the component, as bytes. */
export function renderDerived(derived: ReadonlyMap<string, Uint8Array> | { readonly fault: string }): Uint8Array {
  if (!(derived instanceof Map)) return encoder.encode(`${JSON.stringify(derived)}\n`);
  const files = [...derived].map(([name, bytes]) => [name, bytes.length]);
  return Buffer.concat([encoder.encode(`${JSON.stringify({ files })}\n`), ...derived.values()]);
}

/** The reverse; `bytesMax` bounds the whole. */
export function readDerived(output: Uint8Array, bytesMax: number): Parsed<ReadonlyMap<string, Uint8Array>> {
  const end = output.indexOf(LF);
  if (end < 0 || output.length > bytesMax)
    return fault(`component derives to ${output.length} bytes, limit is ${bytesMax}`);
  const listing = Listing.parse(JSON.parse(new TextDecoder().decode(output.subarray(0, end))));
  if ("fault" in listing) return fault(`component ${listing.fault}`);
  const files = new Map<string, Uint8Array>();
  let position = end + 1;
  for (const [name, length] of listing.files) {
    files.set(name, output.slice(position, position + length));
    position += length;
  }
  return { ok: true, value: files };
}

const LF = 10;
const encoder = new TextEncoder();

function fault(message: string): Parsed<never> {
  return { ok: false, problems: [{ path: "", message }] };
}
