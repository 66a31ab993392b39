// A native filter's handlers at one connection, with the bounds of the sandbox.
import { bytesOf, type Content } from "../../sdk/content.ts";
import { CallContext, type ContextBase } from "../../sdk/context.ts";
import type { AnyHandler } from "../../sdk/define-filter.ts";
import { describeError } from "../../sdk/describe-error.ts";
import { HandledConnection, type Handled } from "../../sdk/handled-connection.ts";
import type { Side } from "../../sdk/wit/world.ts";
import type { FilterLimits } from "../contract/filter.ts";
import type { Schedule } from "../exchange/exchange.ts";
import { NOTHING_WRITTEN, type ConnectionCalls, type ConnectionDecided } from "./connection.ts";
import { NativeCall } from "./native-call.ts";
import type { Operations } from "./operations.ts";

/** What connections of a native filter work with. */
export interface NativeConnectionParts {
  readonly handle: AnyHandler;
  readonly base: ContextBase<NativeCall>;
  readonly operations: Operations;
  readonly limits: FilterLimits;
  readonly schedule: Schedule;
}

const PASS = {
  kind: "decided",
  bytes: "pass",
  written: NOTHING_WRITTEN,
  edits: [],
  route: undefined,
  ending: undefined,
  watched: [],
} as const satisfies ConnectionDecided;

export class NativeConnection implements ConnectionCalls {
  readonly fuelUsed = 0;
  readonly #parts: NativeConnectionParts;
  readonly #connection: HandledConnection = new HandledConnection();
  readonly #call: NativeCall;
  /** A handler took too long, and may still be at it: it is asked nothing more. */
  #isGivenUp = false;

  constructor(parts: NativeConnectionParts) {
    this.#parts = parts;
    this.#call = new NativeCall(parts.operations, parts.limits, undefined);
  }

  open(head: string): ConnectionDecided | Promise<ConnectionDecided> {
    const { handle, base } = this.#parts;
    return this.#run(() => this.#connection.open(head, handle, new CallContext(base, this.#call)));
  }

  chunk(source: Side, bytes: Uint8Array, isEnd: boolean): ConnectionDecided | Promise<ConnectionDecided> {
    // The handler may keep what it gets, and the chunk is its socket's. `slice` of a Buffer would be the same memory.
    return this.#run(() => this.#connection.chunk(source, new Uint8Array(bytes), isEnd));
  }

  end(head: string | undefined): ConnectionDecided | Promise<ConnectionDecided> | undefined {
    this.#call.abort();
    return head === undefined || this.#isGivenUp ? undefined : this.#run(() => this.#connection.over(head));
  }

  #run(run: () => Handled | Promise<Handled>): ConnectionDecided | Promise<ConnectionDecided> {
    this.#call.renew();
    try {
      const handled = run();
      return handled instanceof Promise ? this.#wait(handled) : this.#decided(handled);
    } catch (error) {
      return { kind: "failed", message: describeError(error) };
    }
  }

  #wait(handled: Promise<Handled>): Promise<ConnectionDecided> {
    const { schedule, limits } = this.#parts;
    return new Promise((resolve) => {
      const stopDeadline = schedule(() => {
        this.#isGivenUp = true;
        this.#call.abort();
        resolve({ kind: "failed", message: `has not decided within ${limits.deadlineMs} ms` });
      }, limits.deadlineMs);
      handled
        .then((late) => this.#decided(late))
        .catch((error: unknown): ConnectionDecided => ({ kind: "failed", message: describeError(error) }))
        .then((decided) => {
          stopDeadline();
          return resolve(decided);
        })
        .catch(() => undefined);
    });
  }

  #decided({ bytes, written, edits, route, ending, watched }: Handled): ConnectionDecided {
    const { bodyMaxBytes } = this.#parts.limits;
    const isQuiet = written.downstream.length + written.upstream.length === 0;
    if (isQuiet && bytes === "pass" && edits.length === 0 && route === undefined && ending === undefined)
      return watched.length === 0 ? PASS : { ...PASS, watched };
    const copies = isQuiet
      ? NOTHING_WRITTEN
      : { downstream: written.downstream.map(copyOf), upstream: written.upstream.map(copyOf) };
    if (!isQuiet && sizeOf(copies.downstream) + sizeOf(copies.upstream) > bodyMaxBytes)
      return { kind: "failed", message: `emitted more than ${bodyMaxBytes} bytes` };
    return { kind: "decided", bytes, written: copies, edits, route, ending, watched };
  }
}

function sizeOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** The filter may keep what it returns, and whoever sends bytes on frees them. */
function copyOf(content: Content): Uint8Array {
  return typeof content === "string" ? bytesOf(content) : new Uint8Array(content);
}
