// One connection under a filter's handlers, from its beginning to its end: whoever runs filters tells what happened, and is
// told what to do. The same class runs in the sandbox and natively, so that both decide alike.
import type { ConnectionHandlers, FilterConnection, Flow } from "./connection.ts";
import type { Content } from "./content.ts";
import type { AnyHandler } from "./define-filter.ts";
import type { Side } from "./wit/world.ts";

/** What a call wants to see of its connection: the WIT's `read`. */
export type Watched = "first" | "downstream" | "upstream" | "end";

/** How a filter ends a connection. */
export interface Ending {
  readonly kind: "close" | "reset";
  /** For the access log; may be empty. */
  readonly reason: string;
}

/** What one call came to. */
export interface Handled {
  /** What becomes of the bytes; `more` is of first bytes that do not tell yet. */
  readonly bytes: "pass" | "drop" | "more";
  /** What goes to each side: before the bytes, where those pass. */
  readonly written: Readonly<Record<Side, readonly Content[]>>;
  /** Kind, name and value of each edit. */
  readonly edits: readonly string[];
  /** The upstream that it goes to, by the filter's name for it. */
  readonly route: string | undefined;
  readonly ending: Ending | undefined;
  /** Of the call that began the connection. */
  readonly watched: readonly Watched[];
}

const NOTHING: readonly never[] = [];
const PASS: Handled = {
  bytes: "pass",
  written: { downstream: NOTHING, upstream: NOTHING },
  edits: NOTHING,
  route: undefined,
  ending: undefined,
  watched: NOTHING,
};
const MORE: Handled = { ...PASS, bytes: "more" };

export class HandledConnection implements FilterConnection<string, string, string> {
  /** Lines `name: value`, each behind an LF. */
  #lines = "";
  #stage: "opening" | "sniffing" | "streaming" = "opening";
  #handlers: ConnectionHandlers = {};
  /** A handler runs or waits: only then is there somebody to take what it says. */
  #isRunning = false;
  #written: Record<Side, Content[]> = { downstream: [], upstream: [] };
  #edits: string[] = [];
  #route: string | undefined = undefined;
  #ending: Ending | undefined = undefined;
  readonly #flows: Readonly<Record<Side, Flow>> = {
    downstream: this.#flowTo("upstream"),
    upstream: this.#flowTo("downstream"),
  };

  /** Asks the author's `tcp`. `head` is as the WIT's `begin` has it. */
  open(head: string, handle: AnyHandler, context: unknown): Handled | Promise<Handled> {
    this.#lines = `\n${head}`;
    return this.#call(
      () => handle(this, context),
      (returned) => this.#opened(returned),
    );
  }

  /** The next bytes of a side, or all first bytes so far. They become the filter's own. */
  chunk(source: Side, bytes: Uint8Array, isEnd: boolean): Handled | Promise<Handled> {
    const { sniff } = this.#handlers;
    if (this.#stage === "sniffing" && sniff !== undefined) {
      return this.#call(
        () => sniff(bytes, isEnd),
        (returned) => this.#sniffed(returned),
      );
    }
    const handler = this.#handlers[source];
    if (handler === undefined) return PASS;
    const flow = this.#flows[source];
    return this.#call(
      () => handler(bytes, isEnd, flow),
      (returned) => this.#passed(returned, flow),
    );
  }

  /** It is over; `head` tells how. */
  over(head: string): Handled | Promise<Handled> {
    this.#lines = `\n${head}`;
    const returned: unknown = this.#handlers.close?.();
    return returned instanceof Promise ? returned.then(() => PASS) : PASS;
  }

  attribute(name: string): string | undefined {
    const at = this.#lines.indexOf(`\n${name}: `);
    if (at < 0) return undefined;
    const start = at + name.length + 3;
    return this.#lines.slice(start, this.#lines.indexOf("\n", start));
  }

  setAttribute(name: string, value: string): void {
    this.#requireCall();
    const text = typeof value === "string" ? value : String(value);
    if (name.includes("\n") || text.includes("\n")) throw new TypeError(`${name}: a value holds no line break`);
    this.#edits.push("set", name, text);
  }

  route(upstream: string): void {
    this.#requireCall();
    if (this.#stage === "streaming")
      throw new TypeError("a connection is routed before its upstream is connected: in tcp or in sniff");
    this.#route = upstream;
  }

  write(to: Side, content: Content): void {
    this.#requireCall();
    push(this.#written[to], content);
  }

  close(reason = ""): void {
    this.#requireCall();
    this.#ending ??= { kind: "close", reason };
  }

  reset(reason = ""): void {
    this.#requireCall();
    this.#ending = { kind: "reset", reason };
  }

  #call(run: () => unknown, finish: (returned: unknown) => Handled): Handled | Promise<Handled> {
    this.#isRunning = true;
    const returned = run();
    if (!(returned instanceof Promise)) {
      this.#isRunning = false;
      return finish(returned);
    }
    return returned.then((late: unknown) => {
      this.#isRunning = false;
      return finish(late);
    });
  }

  #opened(returned: unknown): Handled {
    if (isHandlers(returned)) this.#handlers = returned;
    else if (returned !== undefined && returned !== null)
      throw new TypeError("tcp returned something that is not an object of handlers");
    const { sniff, downstream, upstream, close } = this.#handlers;
    this.#stage = sniff === undefined ? "streaming" : "sniffing";
    const watched: Watched[] = [];
    if (sniff !== undefined) watched.push("first");
    if (downstream !== undefined) watched.push("downstream");
    if (upstream !== undefined) watched.push("upstream");
    if (close !== undefined) watched.push("end");
    return { ...this.#take("pass"), watched };
  }

  #sniffed(returned: unknown): Handled {
    // What was written waits for the answer that decides.
    if (returned === "more" && this.#ending === undefined) return MORE;
    if (returned !== undefined && returned !== null && returned !== "more")
      throw new TypeError(`sniff returned something that is neither "more" nor nothing`);
    this.#stage = "streaming";
    return this.#take("pass");
  }

  #passed(returned: unknown, { out }: Flow): Handled {
    if (returned === undefined || returned === null) return this.#take(this.#ending === undefined ? "pass" : "drop");
    if (Array.isArray(returned)) for (const content of returned) push(out, content);
    else push(out, returned);
    return this.#take("drop");
  }

  /** What the calls since the last answer left. */
  #take(bytes: Handled["bytes"]): Handled {
    const { downstream, upstream } = this.#written;
    const isPlain =
      downstream.length + upstream.length + this.#edits.length === 0 &&
      this.#route === undefined &&
      this.#ending === undefined;
    if (isPlain && bytes === "pass") return PASS;
    const handled: Handled = {
      bytes,
      written: { downstream, upstream },
      edits: this.#edits,
      route: this.#route,
      ending: this.#ending,
      watched: NOTHING,
    };
    this.#written = { downstream: [], upstream: [] };
    this.#edits = [];
    this.#route = undefined;
    return handled;
  }

  #flowTo(side: Side): Flow {
    const out = (): Content[] => this.#written[side];
    const isClosing = (): boolean => this.#ending !== undefined;
    return {
      get out() {
        return out();
      },
      get isClosing() {
        return isClosing();
      },
    };
  }

  #requireCall(): void {
    if (!this.#isRunning) throw new TypeError("a connection takes this only while one of its handlers runs or waits");
  }
}

/** Authors may return anything. */
function push(out: Content[], content: unknown): void {
  if (typeof content !== "string" && !(content instanceof Uint8Array))
    throw new TypeError("bytes of a connection are text, a Uint8Array, or a list of these");
  if (content.length > 0) out.push(content);
}

function isHandlers(value: unknown): value is ConnectionHandlers {
  if (typeof value !== "object" || value === null) return false;
  return (["sniff", "downstream", "upstream", "close"] as const).every((name) => {
    const handler: unknown = Reflect.get(value, name);
    return handler === undefined || typeof handler === "function";
  });
}
