// Bytes on a socket, as they are: for requests that no client library would send.
import { connect } from "node:net";

/** What came back on a connection. */
export interface RawReply {
  readonly text: string;
  /** The other side ended the connection within the time. */
  readonly isClosed: boolean;
}

const WITHIN_MS = 5000;

/** Sends `pieces` one after the other on one connection, then reads until the other side closes or `isEnough` says so. */
export function exchangeRaw(
  port: number,
  pieces: string | readonly string[],
  isEnough: (text: string) => boolean = () => false,
): Promise<RawReply> {
  const { promise, resolve } = Promise.withResolvers<RawReply>();
  let text = "";
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  const finish = (isClosed: boolean): void => {
    clearTimeout(giveUp);
    socket.destroy();
    resolve({ text, isClosed });
  };
  const giveUp = setTimeout(() => finish(false), WITHIN_MS);
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    if (isEnough(text)) finish(false);
  });
  // A reset is a closed connection too: what was sent after the refusal was never read.
  socket.on("error", () => finish(true));
  socket.on("close", () => finish(true));
  socket.on("connect", () => {
    for (const piece of typeof pieces === "string" ? [pieces] : pieces) socket.write(piece, "latin1");
  });
  return promise;
}
