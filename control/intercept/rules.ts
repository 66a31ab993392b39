// Settings → iptables rules, the same in meaning as Istio's (pure). Every rule is in a chain of our own; the built-in chains
// only get a jump each, so that what we did can be told from what others did, and be taken away whole.
import { isIPv6 } from "node:net";
import type { InterceptSettings } from "./settings.ts";

export type Family = "ipv4" | "ipv6";

/** One rule of the nat table. */
export interface Rule {
  readonly chain: string;
  /** What follows `-A CHAIN`. */
  readonly match: string;
  /** For people: what it does and why it is there. */
  readonly why: string;
}

/** What one family gets. */
export interface RuleSet {
  readonly family: Family;
  /** Chains of our own, with all their rules in order. */
  readonly chains: readonly string[];
  readonly rules: readonly Rule[];
  /** The rules of built-in chains that lead to ours. */
  readonly jumps: readonly Rule[];
}

/** Chains that Istio's tools and ours make; nobody else's names begin so. */
export const OWN_CHAIN: RegExp = /^ISTIO_[A-Z_]+$/u;

/**
 * The source address of connections from the proxy to its own application, by which the rules tell them from an
 * application's call to itself. Linux takes all of 127.0.0.0/8 as its own; of IPv6, `::6` must be put on `lo`.
 */
export const INBOUND_SOURCE: Readonly<Record<Family, string>> = { ipv4: "127.0.0.6", ipv6: "::6" };

const LOOPBACK: Readonly<Record<Family, string>> = { ipv4: "127.0.0.1/32", ipv6: "::1/128" };

/** The rules of one family. Order is meaning: the first that matches decides. */
export function buildRules(settings: InterceptSettings, family: Family): RuleSet {
  const capturesInbound = settings.inboundPorts === "*" || settings.inboundPorts.length > 0;
  const rules = [...redirectRules(settings), ...inboundRules(settings), ...outboundRules(settings, family)];
  const inbound: Rule = {
    chain: "PREROUTING",
    match: "-p tcp -j ISTIO_INBOUND",
    why: "connections from outside are looked at by ISTIO_INBOUND",
  };
  const outbound: Rule = {
    chain: "OUTPUT",
    match: "-j ISTIO_OUTPUT",
    why: "connections from this machine are looked at by ISTIO_OUTPUT",
  };
  return {
    family,
    chains: ["ISTIO_INBOUND", "ISTIO_REDIRECT", "ISTIO_IN_REDIRECT", "ISTIO_OUTPUT"],
    rules,
    jumps: capturesInbound ? [inbound, outbound] : [outbound],
  };
}

function redirectRules({ proxyPort, inboundCapturePort }: InterceptSettings): readonly Rule[] {
  return [
    rule("ISTIO_REDIRECT", `-p tcp -j REDIRECT --to-ports ${proxyPort}`, "to the proxy's outbound listener"),
    rule("ISTIO_IN_REDIRECT", `-p tcp -j REDIRECT --to-ports ${inboundCapturePort}`, "to the proxy's inbound listener"),
  ];
}

function inboundRules(settings: InterceptSettings): readonly Rule[] {
  const { inboundPorts, inboundTunnelPort } = settings;
  const chain = "ISTIO_INBOUND";
  const rules = [
    ...settings.excludeInterfaces.map((name) => rule(chain, `-i ${name} -j RETURN`, `${name} is left out`)),
    rule(
      chain,
      `-p tcp --dport ${inboundTunnelPort} -j RETURN`,
      "tunnels between proxies have a listener of their own",
    ),
  ];
  if (inboundPorts === "*") {
    return [
      ...rules,
      ...settings.excludeInboundPorts.map((port) =>
        rule(chain, `-p tcp --dport ${port} -j RETURN`, `port ${port} is left out`),
      ),
      rule(chain, "-p tcp -j ISTIO_IN_REDIRECT", "every other port goes through the proxy"),
    ];
  }
  return [
    ...rules,
    ...inboundPorts.map((port) =>
      rule(chain, `-p tcp --dport ${port} -j ISTIO_IN_REDIRECT`, `port ${port} goes through the proxy`),
    ),
  ];
}

function outboundRules(settings: InterceptSettings, family: Family): readonly Rule[] {
  const chain = "ISTIO_OUTPUT";
  const isOwn = (cidr: string): boolean => isIPv6(cidr.split("/")[0] ?? "") === (family === "ipv6");
  const include = settings.includeOutboundCidrs;
  return [
    ...settings.excludeInterfaces.map((name) => rule(chain, `-o ${name} -j RETURN`, `${name} is left out`)),
    ...settings.excludeOutboundPorts.flatMap((port) => [
      rule(chain, `-p tcp --dport ${port} -j RETURN`, `destination port ${port} is left out`),
      rule(chain, `-p udp --dport ${port} -j RETURN`, `destination port ${port} is left out`),
    ]),
    rule(
      chain,
      `-o lo -s ${INBOUND_SOURCE[family]}/${family === "ipv4" ? 32 : 128} -j RETURN`,
      "from the proxy to its own application: not again through the proxy",
    ),
    ...settings.proxyUids.flatMap((uid) => ownerRules(settings, family, `--uid-owner ${uid}`)),
    ...settings.proxyGids.flatMap((gid) => ownerRules(settings, family, `--gid-owner ${gid}`)),
    rule(chain, `-d ${LOOPBACK[family]} -j RETURN`, "loopback is asked for by name and needs no proxy"),
    ...settings.excludeOutboundCidrs
      .filter(isOwn)
      .map((cidr) => rule(chain, `-d ${cidr} -j RETURN`, `${cidr} is left out`)),
    ...settings.includeOutboundPorts.map((port) =>
      rule(chain, `-p tcp --dport ${port} -j ISTIO_REDIRECT`, `destination port ${port} goes through the proxy`),
    ),
    ...(include === "*"
      ? [rule(chain, "-j ISTIO_REDIRECT", "every other connection goes through the proxy")]
      : include
          .filter(isOwn)
          .map((cidr) => rule(chain, `-d ${cidr} -j ISTIO_REDIRECT`, `${cidr} goes through the proxy`))),
  ];
}

/** The proxy's own user or group. */
function ownerRules(settings: InterceptSettings, family: Family, owner: string): readonly Rule[] {
  const chain = "ISTIO_OUTPUT";
  const include = settings.includeOutboundCidrs;
  const includesLoopback = include !== "*" && include.some(isLoopback);
  const toSelf = rule(
    chain,
    `-o lo ! -d ${LOOPBACK[family]} -p tcp ! --dport ${settings.inboundTunnelPort} -m owner ${owner} -j ISTIO_IN_REDIRECT`,
    "the application called its own service, and the proxy sends it back here: in by the inbound listener",
  );
  const stayHere = rule(
    chain,
    `-o lo -m owner ! ${owner} -j RETURN`,
    "the application calls itself by an address of this machine: no proxy between",
  );
  const noLoop = rule(chain, `-m owner ${owner} -j RETURN`, "what the proxy sends goes out, not back to it");
  return includesLoopback ? [toSelf, noLoop] : [toSelf, stayHere, noLoop];
}

function isLoopback(cidr: string): boolean {
  return cidr.startsWith("127.") || /^::1(?:\/|$)/u.test(cidr);
}

function rule(chain: string, match: string, why: string): Rule {
  return { chain, match, why };
}
