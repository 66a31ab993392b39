// What a filter does, as it does it: a stream of events (text/event-stream) for as long as somebody reads it. These are
// requests of others, so that asking for them needs the token, as a change does.
import { Hono, type Context } from "hono";
import { parseWith, type Parsed } from "../../runtime/contract/problem.ts";
import { Tap, TAPS_MAX } from "../../runtime/contract/tap.ts";
import type { Taps } from "../push/taps.ts";
import { filterKeyOf, readJson } from "./filters.ts";
import { renderProblemReply } from "./problem.ts";

export const TailBody = Tap.pick({ sample: true, status: true, level: true });
export const RecordBody = Tap.pick({ sample: true, status: true, redact: true, bodyMaxBytes: true, bodies: true });

/** Characters of events that wait for a slow reader; more are dropped and counted. An event may hold two bodies. */
const WAITING_MAX_LENGTH = 4 * 1024 * 1024;
/** A comment keeps the connection from looking dead. */
const PULSE_MS = 10_000;

export interface TapsApi {
  readonly taps: Taps;
  /** Whether there is such a filter. */
  readonly hasFilter: (namespace: string, name: string) => boolean;
}

/** Routes below `/v1`. */
export function tapRoutes({ taps, hasFilter }: TapsApi): Hono {
  const app = new Hono();
  app.post("/filters/:namespace/:name/tail", async (c) => {
    const body = parseWith(TailBody, (await readJson(c)) ?? {});
    return look(c, "tail", body);
  });
  app.post("/filters/:namespace/:name/record", async (c) => {
    const body = parseWith(RecordBody, (await readJson(c)) ?? {});
    return look(c, "record", body);
  });

  function look(c: Context, kind: Tap["kind"], body: Parsed<Partial<Tap>>): Response {
    const key = filterKeyOf(c);
    if (key instanceof Response) return key;
    if (!body.ok) return renderProblemReply(422, { problems: body.problems });
    if (!hasFilter(key.namespace, key.name)) {
      return renderProblemReply(404, { detail: `there is no Filter ${key.namespace}/${key.name}` });
    }
    const stream = openStream(taps, { ...body.value, kind, filter: `${key.namespace}/${key.name}` });
    if (stream === undefined) {
      return renderProblemReply(503, { detail: `${TAPS_MAX} look at filters already, which is the limit` });
    }
    return new Response(stream, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
  }
  return app;
}

/** `undefined` where too many look already. */
function openStream(taps: Taps, tap: Parameters<Taps["open"]>[0]): ReadableStream<string> | undefined {
  let close: (() => void) | undefined;
  let pulse: ReturnType<typeof setInterval> | undefined;
  const stream = new ReadableStream<string>(
    {
      start(controller) {
        const hasRoom = (): boolean => (controller.desiredSize ?? 0) > 0;
        close = taps.open(tap, {
          seen(event, proxy) {
            if (!hasRoom()) return false;
            controller.enqueue(`data: ${JSON.stringify({ proxy, ...event })}\n\n`);
            return true;
          },
          dropped(count) {
            if (hasRoom()) controller.enqueue(`event: dropped\ndata: ${JSON.stringify({ dropped: count })}\n\n`);
          },
        });
        // Whoever waits for the reply knows by its first bytes that the proxies were told.
        controller.enqueue(": looking\n\n");
        pulse = setInterval(() => hasRoom() && controller.enqueue(":\n\n"), PULSE_MS);
      },
      cancel() {
        clearInterval(pulse);
        close?.();
      },
    },
    { highWaterMark: WAITING_MAX_LENGTH, size: (text = "") => text.length },
  );
  if (close !== undefined) return stream;
  clearInterval(pulse);
  return undefined;
}
