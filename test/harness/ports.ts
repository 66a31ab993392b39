// Ports that nobody else uses.
import { readFileSync } from "node:fs";

const LOWEST = 10_000;

/** Below this the system picks no port by itself, for a listener on port 0 or for a connection that goes out. */
const ENDS = lowestEphemeralPort();

/** Those that this process was given before: whoever got one may not listen on it yet. */
const given = new Set<number>();

/**
 * Ports that are free now, all different and none given before. For programs that cannot be told to take port 0.
 *
 * They lie below those that the system gives out: one of its own would be free now, and could be the near end of
 * somebody's connection by the time the program listens.
 */
export function freePorts(count: number): readonly number[] {
  const listeners = Array.from({ length: count }, listen);
  const ports = listeners.map(({ port }) => port);
  for (const listener of listeners) listener.stop(true);
  return ports;
}

/** One port that is free now. */
export function freePort(): number {
  const [port] = freePorts(1);
  if (port === undefined) throw new Error("no port is free");
  return port;
}

function listen() {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = LOWEST + Math.floor(Math.random() * (ENDS - LOWEST));
    if (given.has(port)) continue;
    try {
      const listener = Bun.listen({ hostname: "127.0.0.1", port, exclusive: true, socket: { data: () => undefined } });
      given.add(port);
      return listener;
    } catch {
      // In use: the next draw is another.
    }
  }
  throw new Error(`no port from ${LOWEST} to ${ENDS - 1} is free`);
}

/** Linux says what it gives out; elsewhere it is IANA's range (RFC 6335 §6). */
function lowestEphemeralPort(): number {
  try {
    const [lowest = ""] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "latin1").split(/\s/u);
    // A system that gives out nearly every port leaves us no better than its own luck.
    return Math.max(Number(lowest), 2 * LOWEST);
  } catch {
    return 49_152;
  }
}
