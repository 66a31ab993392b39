// Which exchanges meet a candidate: a stable choice, so that one caller's requests, or both phases of one exchange, meet the
// same version, and a larger share takes in all of a smaller one.
import type { FilterCandidate } from "../contract/filter.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { requestReader } from "./attributes.ts";

/** Whether an exchange is of the candidate's share. */
export type Choose = (exchange: Exchange) => boolean;

/** `use` keeps the choices of different filters apart: not the same few callers try everything. */
export function compileChoice(use: string, { by, percent }: Pick<FilterCandidate, "by" | "percent">): Choose {
  if (percent >= 100) return () => true;
  if (percent <= 0) return () => false;
  const read = requestReader(by);
  return (exchange) => shareOf(use, read(exchange) ?? exchange.requestId) * 100 < percent;
}

const OFFSET = 2_166_136_261;
const PRIME = 16_777_619;

/** Where a key lies in [0, 1), evenly: FNV-1a, whose last characters move high bits too little, then MurmurHash3's mix. */
function shareOf(use: string, key: string): number {
  let hash = OFFSET;
  for (let index = 0; index < use.length; index++) hash = Math.imul(hash ^ use.charCodeAt(index), PRIME);
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), PRIME);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85_eb_ca_6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2_b2_ae_35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
