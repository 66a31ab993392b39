// A connection as a filter has it: what is known of it, and what the filter does with it and with its bytes.
import type { Content } from "./content.ts";
import type { Attribute, Side } from "./wit/world.ts";

/** One connection whose bytes are not HTTP. */
export interface FilterConnection<Read extends string, Write extends string, Upstream extends string> {
  /**
   * An attribute by name, as the connection began; `undefined` where it is not known. In `close`, those of phase log too:
   * `request.size` and `response.size` are its bytes from and to the downstream, `response.flags` how it ended.
   */
  attribute(name: Extract<Read, Attribute>): string | undefined;
  /** Leaves a value for later filters and the access log. */
  setAttribute(name: Extract<Write, `metadata.${string}`>, value: string): void;
  /** Sends it to that upstream instead of its route's. Before one is connected: in `tcp` itself and in `sniff`. */
  route(upstream: Upstream): void;
  /**
   * Sends bytes to a side: to the one that the handler's bytes came from, an answer; to the other, before what the handler
   * returns. Only while a handler of the connection runs or waits.
   */
  write(to: Side, content: Content): void;
  /** Ends it in order, behind what was written. `reason` is for the access log. The handler's own bytes do not go on. */
  close(reason?: string): void;
  /** Ends it at once, by RST. */
  reset(reason?: string): void;
}

/** What a filter wants of a connection, each where it is there; what no handler looks at costs nothing. */
export interface ConnectionHandlers {
  /**
   * The first bytes of the downstream, before an upstream is connected: all that came so far, at most 16 KiB. `"more"` asks
   * again when more came; with `isLast` no more will, and `"more"` fails the call. They come to `downstream` once more.
   * Not for protocols in which the server speaks first: those wait for the filter's deadline.
   */
  readonly sniff?: (bytes: Uint8Array, isLast: boolean) => Sniffed | Promise<Sniffed>;
  /** What the downstream sends. A handler of `framing.ts` sees frames. */
  readonly downstream?: BytesHandler;
  /** What the upstream sends. */
  readonly upstream?: BytesHandler;
  /** The connection is over. */
  readonly close?: () => Nothing | Promise<Nothing>;
}

/**
 * Takes the next bytes of one side, which are the handler's own, at most 64 KiB; `isEnd` with the last, which may be none.
 * One that throws fails the call. The connection waits while a handler does.
 */
export type BytesHandler = (bytes: Uint8Array, isEnd: boolean, flow: Flow) => Passed | Promise<Passed>;

/** What goes on in the bytes' place: nothing returned is the bytes themselves, `""` is none, a list is one after the other. */
// oxlint-disable-next-line typescript/no-invalid-void-type -- A handler that only looks returns nothing.
export type Passed = Content | readonly Content[] | undefined | void;

// oxlint-disable-next-line typescript/no-invalid-void-type -- As above.
type Nothing = undefined | void;
type Sniffed = "more" | Nothing;

/** What a framer needs besides: handlers of bytes seldom do. */
export interface Flow {
  /** What goes on before what the handler returns, in order. */
  readonly out: Content[];
  /** The connection ends with this call. */
  readonly isClosing: boolean;
}
