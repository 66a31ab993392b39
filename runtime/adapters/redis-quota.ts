// Quotas that many proxies share, in a Redis (Mixer's redisquota).
import { createHash } from "node:crypto";
import { RedisClient } from "bun";
import type { BackendOf, Quota } from "../contract/adapter.ts";
import { ONCE, type AdapterAnswer, type Backend, type BackendParts, type Question } from "./adapter.ts";
import { CHARGE } from "./redis-script.ts";
import { refusal } from "./refusal.ts";

/** Parts of a rolling window. */
const PARTS = 10;
const CONNECT_MAX_MS = 2000;
/** Charges that Redis has not answered, those that nobody waits for any more included. */
const PENDING_MAX = 1000;
const SCRIPT_DIGEST = createHash("sha1").update(CHARGE).digest("hex");

/** What a charge brought. */
interface Charged {
  readonly granted: number;
  /** Until there is more. */
  readonly afterMs: number;
}

/** Charges quotas; a Redis that does not answer in time is a failure. */
export function buildRedisQuota({ name, config, surroundings }: BackendParts<"redis_quota">): Backend {
  const redis = new RedisClient(config.url, {
    connectionTimeout: CONNECT_MAX_MS,
    // A charge that waits for a connection would be charged long after its request was answered.
    enableOfflineQueue: false,
    autoReconnect: true,
    maxRetries: 2 ** 32 - 1,
  });
  /** The first connection, or that there is none yet: what is charged before waits for it, within its own time. */
  const opened = redis.connect().catch(() => undefined);
  let pending = 0;
  const { schedule } = surroundings;

  async function ask({ instance, isBestEffort }: Question): Promise<AdapterAnswer> {
    const quota = config.quotas[instance.name];
    const amount = instance.value ?? 1;
    if (quota === undefined || typeof amount !== "number" || amount < 0)
      return failed(`cannot charge ${String(amount)} to ${instance.name}`);
    if (amount === 0) return ALLOWED;
    if (pending >= PENDING_MAX) return failed(`${pending} charges wait for Redis already, which is the limit`);
    pending++;
    const call = opened.then(() =>
      charge(redis, config, { quota, instance, amount: Math.floor(amount), isBestEffort }),
    );
    void call.finally(() => pending--);
    const charged = await withinTime(call, config.timeoutMs, schedule);
    if (typeof charged === "string") return failed(charged);
    if (charged.granted > 0) return ALLOWED;
    const seconds = Math.max(1, Math.ceil(charged.afterMs / 1000));
    const headers = [["retry-after", String(seconds)]] as const;
    return { kind: "refused", refusal: refusal({ adapter: name, status: 429, message: "", headers }), ...ONCE };
  }

  return {
    quota: { ask, keepsAnswers: false },
    stop: () => {
      redis.close();
      return Promise.resolve();
    },
  };
}

const ALLOWED: AdapterAnswer = { kind: "allowed", ...ONCE };

interface Charge {
  readonly quota: Quota;
  readonly instance: Question["instance"];
  readonly amount: number;
  readonly isBestEffort: boolean;
}

/** Runs the script; by its digest first, as Redis knows it but for the first time. */
async function charge(
  redis: RedisClient,
  config: BackendOf<"redis_quota">,
  { quota, instance, amount, isBestEffort }: Charge,
): Promise<Charged | string> {
  const parts = quota.algorithm === "fixed_window" ? 1 : PARTS;
  const max = maxFor(quota, instance.attributes);
  const key = `${config.prefix}:${instance.name}:${digestOf(instance.attributes)}`;
  const rest = ["1", key, ...[amount, max, quota.validForMs, parts, isBestEffort ? 1 : 0].map(String)];
  try {
    return readCharged(await redis.send("EVALSHA", [SCRIPT_DIGEST, ...rest]));
  } catch (error) {
    const message = messageOf(error);
    if (!message.includes("NOSCRIPT")) return message;
  }
  try {
    return readCharged(await redis.send("EVAL", [CHARGE, ...rest]));
  } catch (error) {
    return messageOf(error);
  }
}

function readCharged(reply: unknown): Charged | string {
  const [granted, afterMs]: readonly unknown[] = Array.isArray(reply) ? reply : [];
  if (typeof granted !== "number" || typeof afterMs !== "number")
    return "Redis answered something else than two numbers";
  return { granted, afterMs };
}

/** What there is for these dimensions: the first override that fits, else the quota's own. */
export function maxFor({ maxAmount, overrides }: Quota, attributes: Question["instance"]["attributes"]): number {
  const fits = ({ dimensions }: Quota["overrides"][number]): boolean =>
    Object.entries(dimensions).every(([name, value]) => textOf(attributes[name]) === value);
  return overrides.find((override) => fits(override))?.maxAmount ?? maxAmount;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

/** Dimensions by name and value, in any order; of one length, whatever a request says. */
function digestOf(attributes: Question["instance"]["attributes"]): string {
  const sorted = Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("base64url");
}

function withinTime(
  call: Promise<Charged | string>,
  timeoutMs: number,
  schedule: BackendParts<"redis_quota">["surroundings"]["schedule"],
): Promise<Charged | string> {
  return new Promise((resolve) => {
    const callOff = schedule(() => resolve(`Redis has not answered within ${timeoutMs} ms`), timeoutMs);
    void call.then(resolve).finally(callOff);
  });
}

function failed(message: string): AdapterAnswer {
  return { kind: "failed", message };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
