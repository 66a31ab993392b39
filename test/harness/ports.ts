// Ports that nobody else uses.

/** Ports that are free now, picked by the system, all different. For programs that cannot be told to take port 0. */
export function freePorts(count: number): readonly number[] {
  const listeners = Array.from({ length: count }, () =>
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } }),
  );
  const ports = listeners.map(({ port }) => port);
  for (const listener of listeners) listener.stop(true);
  return ports;
}

/** One port that is free now. */
export function freePort(): number {
  const [port] = freePorts(1);
  if (port === undefined) throw new Error("the system gave no port");
  return port;
}
