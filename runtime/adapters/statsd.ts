// Measurements in StatsD's words, by UDP (Mixer's statsd). Counters of a batch are summed first.
import { lookup } from "node:dns/promises";
import type { BackendOf } from "../contract/adapter.ts";
import type { Backend, BackendParts, Instance } from "./adapter.ts";
import { splitAddress } from "./address-text.ts";
import { Batcher, SENT, type Sent } from "./batcher.ts";

/** One measurement; `key` is everything but the number. */
export interface Measurement {
  readonly key: string;
  readonly type: "c" | "g" | "h" | "ms";
  readonly tags: string;
  readonly value: number;
}

const TYPES = { counter: "c", gauge: "g", histogram: "h", timing: "ms" } as const;
/** Longest of a tag's value, characters. */
const TAG_MAX_LENGTH = 200;
/** How long a socket that is full may take. */
const DRAIN_MAX_MS = 1000;

/** Datagrams to a StatsD server. */
export function buildStatsd({ name, config, surroundings }: BackendParts<"statsd">): Backend {
  const sender = new DatagramSender(config.address, (run) => surroundings.schedule(run, DRAIN_MAX_MS));
  const batcher = new Batcher<Measurement>({
    adapter: name,
    policy: config.batch,
    sizeOf: ({ key, tags }) => key.length + tags.length + 16,
    send: (measurements) => sender.send(packLines(renderLines(measurements), config.packetMaxBytes)),
    schedule: surroundings.schedule,
    observer: surroundings.observer,
  });
  return {
    report: { add: (instance) => batcher.add(measure(instance, config)), flush: () => batcher.flush() },
    async stop() {
      await batcher.stop();
      sender.close();
    },
  };
}

/** What an instance measures: its value, `1` where it has none. */
export function measure({ name, value = 1, attributes }: Instance, config: BackendOf<"statsd">): Measurement {
  const metric = Object.hasOwn(config.metrics, name) ? config.metrics[name] : undefined;
  const tags = config.tags === "none" ? "" : renderTags(attributes);
  return {
    key: (config.prefix + (metric?.name ?? name)).replaceAll(/[^A-Za-z0-9_.\-/]/gu, "_"),
    type: TYPES[metric?.type ?? "counter"],
    tags,
    value: Number(value),
  };
}

function renderTags(attributes: Instance["attributes"]): string {
  const tags = Object.entries(attributes).flatMap(([name, value]) =>
    typeof value === "object" ? [] : [`${cleanTag(name)}:${cleanTag(String(value))}`],
  );
  return tags.length === 0 ? "" : `|#${tags.join(",")}`;
}

/** A value from a request must not end its tag, its line or its packet. */
function cleanTag(text: string): string {
  return text.slice(0, TAG_MAX_LENGTH).replaceAll(/[^\x21-\x7e]|[,|#:@]/gu, "_");
}

/** Lines of a batch: a counter once for each of its names and tags. */
export function renderLines(measurements: readonly Measurement[]): readonly string[] {
  const sums = new Map<string, number>();
  const others: string[] = [];
  for (const { key, type, tags, value } of measurements) {
    if (!Number.isFinite(value)) continue;
    if (type === "c") sums.set(`${key}\n${tags}`, (sums.get(`${key}\n${tags}`) ?? 0) + value);
    else others.push(`${key}:${value}|${type}${tags}`);
  }
  const counters = [...sums].map(([name, sum]) => {
    const [key = "", tags = ""] = name.split("\n");
    return `${key}:${sum}|c${tags}`;
  });
  return [...counters, ...others];
}

/** Whole lines in as few packets as take them; a line that is longer than one is left out. */
export function packLines(lines: readonly string[], packetMaxBytes: number): readonly string[] {
  const packets: string[] = [];
  let packet = "";
  for (const line of lines) {
    if (line.length > packetMaxBytes) continue;
    if (packet !== "" && packet.length + 1 + line.length > packetMaxBytes) {
      packets.push(packet);
      packet = "";
    }
    packet = packet === "" ? line : `${packet}\n${line}`;
  }
  return packet === "" ? packets : [...packets, packet];
}

type Socket = Bun.udp.ConnectedSocket<"buffer">;

class DatagramSender {
  readonly #address: string;
  readonly #scheduleGiveUp: (run: () => void) => () => void;
  #socket: Socket | undefined = undefined;
  #drained: (() => void) | undefined = undefined;

  constructor(address: string, scheduleGiveUp: (run: () => void) => () => void) {
    this.#address = address;
    this.#scheduleGiveUp = scheduleGiveUp;
  }

  async send(packets: readonly string[]): Promise<Sent> {
    try {
      const socket = (this.#socket ??= await this.#open());
      for (const packet of packets) {
        if (socket.send(packet)) continue;
        // The socket is full: the kernel says when it is not.
        // oxlint-disable-next-line no-await-in-loop
        await this.#drain();
        socket.send(packet);
      }
      return SENT;
    } catch (error) {
      this.close();
      // Parts of it may have gone: sent again they would count twice.
      return {
        kind: "refused",
        message: `${this.#address}: ${error instanceof Error ? error.message : String(error)}`,
      };
    }
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  async #open(): Promise<Socket> {
    const { host, port } = splitAddress(this.#address);
    const { address } = await lookup(host);
    return Bun.udpSocket({
      connect: { hostname: address, port },
      socket: {
        drain: () => this.#drained?.(),
        // Nobody listens there (ICMP): nobody says so of the next packet.
        error: () => undefined,
      },
    });
  }

  #drain(): Promise<void> {
    return new Promise((resolve) => {
      const callOff = this.#scheduleGiveUp(resolve);
      this.#drained = () => {
        callOff();
        resolve();
      };
    });
  }
}
