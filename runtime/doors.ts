// Which ports a proxy opens. Who opens them (the proxy itself, or the supervisor of its workers) asks here.
import type { Bootstrap } from "./bootstrap.ts";
import type { Door } from "./serving.ts";

/** Every port that a proxy listens on. */
export function doorsOf(bootstrap: Bootstrap): readonly Door[] {
  const doors: Door[] = bootstrap.inbound.map((application) => ({
    direction: "inbound",
    hostname: bootstrap.bind,
    port: application.port,
    application,
  }));
  if (bootstrap.outbound !== undefined) {
    doors.push({ direction: "outbound", hostname: "127.0.0.1", port: bootstrap.outbound, application: undefined });
  }
  return doors;
}
