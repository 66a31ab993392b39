// Events that control sends for as long as they are read (text/event-stream).
import { ControlRefusal, parseRefusal, type Target } from "./client.ts";
import { CommandFailure, EXIT } from "./failure.ts";

/** One event; `name` is `message` where it has none. */
export interface StreamEvent {
  readonly name: string;
  readonly data: unknown;
}

/** The longest line that is read: an exchange with both its bodies. */
const LINE_MAX_LENGTH = 4 * 1024 * 1024;

/** Asks for a stream and yields its events until it ends, or `signal` does. */
export async function* readEvents(
  { control, token }: Target,
  path: string,
  body: unknown,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent> {
  const headers = new Headers({ "content-type": "application/json" });
  if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  let reply: Response;
  try {
    reply = await fetch(new URL(path, control), { method: "POST", headers, body: JSON.stringify(body), signal });
  } catch (error) {
    if (signal.aborted) return;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(EXIT.unreachable, [`control at ${control} does not answer: ${reason}`]);
  }
  if (!reply.ok) {
    const refusal = parseRefusal(await reply.text());
    if (refusal !== undefined) throw new ControlRefusal(reply.status, refusal);
    throw new CommandFailure(EXIT.unreachable, [`what answers at ${control} is not a Vespid control service`]);
  }
  try {
    yield* parseEvents(reply.body ?? new ReadableStream());
  } catch (error) {
    if (!signal.aborted)
      throw new CommandFailure(EXIT.unreachable, [`the stream from ${control} ended: ${String(error)}`]);
  }
}

/** Events of a stream; comments are left out. */
export async function* parseEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  let name = "message";
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    if (rest.length > LINE_MAX_LENGTH) throw new Error(`a line is longer than ${LINE_MAX_LENGTH} characters`);
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("event: ")) name = line.slice("event: ".length);
      else if (line.startsWith("data: ")) yield { name, data: JSON.parse(line.slice("data: ".length)) };
      else if (line === "") name = "message";
    }
  }
}
