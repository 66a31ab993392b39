// TCP as tests speak it: servers of their own, and clients that keep what came back.
import { connect, createServer, type Socket } from "node:net";

/** A server; disposing of it ends its connections. */
export interface TcpServer extends Disposable {
  readonly port: number;
  readonly sockets: ReadonlySet<Socket>;
}

/** Listens on loopback; half-closed connections stay open. */
export async function listenTcp(serve: (socket: Socket) => void): Promise<TcpServer> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the server has no port");
  return {
    port: address.port,
    sockets,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** A client, with what came back. */
export interface TcpClient {
  readonly socket: Socket;
  /** As Latin-1. */
  text: string;
  isEnded: boolean;
  /** `ECONNRESET` … */
  error: string;
  isClosed: boolean;
}

/** Connects; half-closed it stays open. */
export function dialTcp(port: number): TcpClient {
  const client: TcpClient = {
    socket: connect({ port, host: "127.0.0.1", allowHalfOpen: true }),
    text: "",
    isEnded: false,
    error: "",
    isClosed: false,
  };
  client.socket.on("data", (chunk) => (client.text += chunk.toString("latin1")));
  client.socket.on("end", () => (client.isEnded = true));
  client.socket.on("error", (error) => (client.error = "code" in error ? String(error.code) : error.message));
  client.socket.on("close", () => (client.isClosed = true));
  return client;
}
