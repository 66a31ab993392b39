// Log events to Fluentd, Fluent Bit or a collector, by the forward protocol (version 1): msgpack over TCP, a batch at a time,
// kept until the server has acknowledged it.
import { encode, ExtData } from "@msgpack/msgpack";
import { endedAtMs, type Backend, type BackendParts, type Instance } from "./adapter.ts";
import { splitAddress } from "./address-text.ts";
import { Batcher, SENT, type Sent } from "./batcher.ts";
import { ForwardConnection } from "./forward-connection.ts";
import type { Exchange } from "../exchange/exchange.ts";

/** One event: its tag, and time and record in msgpack already. */
interface Event {
  readonly tag: string;
  readonly bytes: Uint8Array;
}

/** Of `EventTime`: seconds and nanoseconds, 32 bits each, big endian. */
const EVENT_TIME = 0;

/** Batches to a server of the forward protocol. */
export function buildFluentd({ name, config, surroundings }: BackendParts<"fluentd">): Backend {
  const { timeoutMs, requireAck } = config;
  const { host, port } = splitAddress(config.address);
  const connection = new ForwardConnection({ host, port, timeoutMs, schedule: surroundings.schedule });

  async function send(events: readonly Event[]): Promise<Sent> {
    for (const [tag, own] of Map.groupBy(events, (event) => event.tag)) {
      const chunk = requireAck ? crypto.randomUUID() : undefined;
      // Each message is acknowledged before the next.
      // oxlint-disable-next-line no-await-in-loop
      const sent = await connection.send(renderForward(tag, own, chunk), chunk);
      if (!sent.ok) return { kind: "retry", message: `${config.address}: ${sent.error}` };
    }
    return SENT;
  }
  const batcher = new Batcher<Event>({
    adapter: name,
    policy: config.batch,
    sizeOf: ({ bytes, tag }) => bytes.length + tag.length,
    send,
    schedule: surroundings.schedule,
    observer: surroundings.observer,
  });
  return {
    report: {
      add: (instance, exchange) => batcher.add(eventOf(config.tag, instance, exchange)),
      flush: () => batcher.flush(),
    },
    async stop() {
      await batcher.stop();
      connection.close();
    },
  };
}

function eventOf(prefix: string, { name, value, attributes }: Instance, exchange: Exchange): Event {
  const record = { instance: name, ...(value === undefined ? {} : { value }), ...attributes };
  const time = new ExtData(EVENT_TIME, eventTime(endedAtMs(exchange)));
  return { tag: `${prefix}.${name}`, bytes: encode([time, record], { ignoreUndefined: true }) };
}

function eventTime(atMs: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  const seconds = Math.floor(atMs / 1000);
  view.setUint32(0, seconds);
  view.setUint32(4, Math.round((atMs - seconds * 1000) * 1e6) % 1e9);
  return bytes;
}

/** A message of mode PackedForward: `[tag, events, {chunk, size}]`. */
function renderForward(tag: string, events: readonly Event[], chunk: string | undefined): Uint8Array {
  const packed = Buffer.concat(events.map(({ bytes }) => bytes));
  return encode([tag, packed, { size: events.length, ...(chunk === undefined ? {} : { chunk }) }]);
}
