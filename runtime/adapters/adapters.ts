// The adapters of a proxy: built for the generations that name them, told to send what they have when it drains.
import type { Adapter } from "../contract/adapter.ts";
import type { Parsed } from "../contract/problem.ts";
import type { Backend, BackendSurroundings } from "./adapter.ts";
import { buildDeny } from "./deny.ts";
import { buildFilterBackend } from "./filter.ts";
import { buildFluentd } from "./fluentd.ts";
import { buildList } from "./list.ts";
import { LiveAdapter } from "./live-adapter.ts";
import { buildOpa } from "./opa.ts";
import { buildOtlp } from "./otlp.ts";
import { buildRedisQuota } from "./redis-quota.ts";
import { buildStatsd } from "./statsd.ts";
import { buildStdout } from "./stdout.ts";

export class Adapters {
  readonly #surroundings: BackendSurroundings;
  readonly #live = new Set<LiveAdapter>();
  /** Those that nobody names any more, while they send their last. */
  readonly #stopping = new Set<Promise<void>>();

  constructor(surroundings: BackendSurroundings) {
    this.#surroundings = surroundings;
  }

  /** Builds one, or says every problem with paths below the adapter. */
  async build(adapter: Adapter): Promise<Parsed<LiveAdapter>> {
    const backend = await buildBackend(adapter, this.#surroundings);
    if (!backend.ok) return backend;
    const live = new LiveAdapter(adapter, backend.value, this.#surroundings);
    this.#live.add(live);
    return { ok: true, value: live };
  }

  /** No generation names it any more. */
  stop(adapter: LiveAdapter): void {
    this.#live.delete(adapter);
    const stopping = adapter.backend.stop().finally(() => this.#stopping.delete(stopping));
    this.#stopping.add(stopping);
  }

  /** Resolves when everything that was told has been sent, or cannot be. */
  async flush(): Promise<void> {
    await Promise.all([...this.#stopping, ...[...this.#live].map(({ backend }) => backend.report?.flush())]);
  }
}

async function buildBackend({ name, backend }: Adapter, surroundings: BackendSurroundings): Promise<Parsed<Backend>> {
  switch (backend.kind) {
    case "deny":
      return { ok: true, value: buildDeny({ name, config: backend, surroundings }) };
    case "list":
      return buildList({ name, config: backend, surroundings });
    case "stdout":
      return buildStdout({ name, config: backend, surroundings });
    case "statsd":
      return { ok: true, value: buildStatsd({ name, config: backend, surroundings }) };
    case "otlp":
      return { ok: true, value: buildOtlp({ name, config: backend, surroundings }) };
    case "fluentd":
      return { ok: true, value: buildFluentd({ name, config: backend, surroundings }) };
    case "redis_quota":
      return { ok: true, value: buildRedisQuota({ name, config: backend, surroundings }) };
    case "filter":
      return buildFilterBackend({ name, config: backend, surroundings });
    case "opa":
      return { ok: true, value: buildOpa({ name, config: backend, surroundings }) };
  }
}
