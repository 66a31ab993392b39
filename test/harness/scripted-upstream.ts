// An upstream that does exactly what a test says with each request, down to the byte and the packet.

/** One connection as the script sees it. */
export interface ScriptedConnection {
  /** Which connection this is, from 0. */
  readonly index: number;
  /** Everything that came on it so far. */
  received: string;
  /** Requests on it so far, this one included. */
  requests: number;
  send(bytes: string): void;
  /** FIN after what was sent. */
  end(): void;
  /** RST. */
  reset(): void;
}

export interface ScriptedUpstream extends Disposable {
  readonly port: number;
  readonly connections: readonly ScriptedConnection[];
}

/** Calls `script` whenever the end of a head has come that was not there before. */
export function startScriptedUpstream(script: (connection: ScriptedConnection) => void): ScriptedUpstream {
  const connections: ScriptedConnection[] = [];
  const server = Bun.listen<{ connection: ScriptedConnection | undefined }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        const connection: ScriptedConnection = {
          index: connections.length,
          received: "",
          requests: 0,
          send: (bytes) => void socket.write(Buffer.from(bytes, "latin1")),
          end: () => void socket.end(),
          reset: () => socket.terminate(),
        };
        connections.push(connection);
        socket.data = { connection };
      },
      data(socket, chunk) {
        const { connection } = socket.data;
        if (connection === undefined) return;
        connection.received += chunk.toString("latin1");
        const heads = connection.received.split("\r\n\r\n").length - 1;
        if (heads === connection.requests) return;
        connection.requests = heads;
        script(connection);
      },
    },
  });
  return { port: server.port, connections, [Symbol.dispose]: () => server.stop(true) };
}
