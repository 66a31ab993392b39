// Which ports a proxy opens. Who opens them (the proxy itself, or the supervisor of its workers) asks here.
import { networkInterfaces } from "node:os";
import type { Bootstrap } from "./bootstrap.ts";
import type { Door } from "./serving.ts";

/** Istio's port for what the application sends. */
const OUTBOUND_PORT = 15_001;

/** Every port that a proxy listens on. */
export function doorsOf(bootstrap: Bootstrap): readonly Door[] {
  const doors = bootstrap.inbound.map((application): Door => ({
    direction: "inbound",
    hostname: bootstrap.bind,
    port: application.port,
    application,
  }));
  const isRedirected = bootstrap.interception === "redirect";
  const calls = bootstrap.outbound
    .slice(isRedirected ? 1 : 0)
    .map((port): Door => ({ direction: "outbound", hostname: "127.0.0.1", port, application: undefined }));
  return [...doors, ...(isRedirected ? captureDoors(bootstrap) : []), ...calls];
}

/**
 * Where iptables leads connections: those from outside to any address of ours, those of the application to loopback, which
 * nobody outside may use. IPv4 and IPv6 have a socket each, so that addresses are told as they are.
 */
function captureDoors(bootstrap: Bootstrap): readonly Door[] {
  const { inboundCapturePort } = bootstrap;
  const capture = { application: undefined, isCapture: true };
  const outboundPort = bootstrap.outbound[0] ?? OUTBOUND_PORT;
  const ipv4: readonly Door[] = [
    { ...capture, direction: "inbound", hostname: "0.0.0.0", port: inboundCapturePort },
    { ...capture, direction: "outbound", hostname: "127.0.0.1", port: outboundPort },
  ];
  if (!hasIpv6()) return ipv4;
  return [
    ...ipv4,
    { ...capture, direction: "inbound", hostname: "::", port: inboundCapturePort, ipv6Only: true },
    { ...capture, direction: "outbound", hostname: "::1", port: outboundPort, ipv6Only: true },
  ];
}

/** Whether the system has an IPv6 loopback address. */
function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));
}
