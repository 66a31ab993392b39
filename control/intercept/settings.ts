// What `vespid intercept` is asked to redirect: Istio's settings with Istio's defaults, checked before any rule is built.
// What ends up in a rule is a number, an address or an interface name of known shape: no value can add a rule of its own.
import { isIPv4, isIPv6 } from "node:net";
import { z } from "zod";
import { parseWith, type Parsed, type Problem } from "../../runtime/contract/problem.ts";

/** The proxy's own ports, never redirected: merged metrics, health, Prometheus (Istio's injector leaves out the same). */
const OWN_PORTS = ["15020", "15021", "15090"] as const;

const PORTS = /^\d{1,5}(?::\d{1,5})?$/u;
const PORT_HELP = `write ports as "80,443" or a range as "8000:8100"`;

function splitList(text: string): readonly string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function isPorts(text: string): boolean {
  const [first = -1, last = first] = text.split(":").map(Number);
  return PORTS.test(text) && first >= 1 && first <= last && last <= 65_535;
}

function isCidr(text: string): boolean {
  const [address = "", length, ...more] = text.split("/");
  if (more.length > 0 || (!isIPv4(address) && !isIPv6(address)) || address.includes("%")) return false;
  return length === undefined || (/^\d{1,3}$/u.test(length) && Number(length) <= (isIPv4(address) ? 32 : 128));
}

/** A list in one text, each item checked; every bad one is told with what is right. */
function list(isFine: (item: string) => boolean, what: string) {
  return z.string().transform((text, context): readonly string[] => {
    const items = [...new Set(splitList(text))];
    for (const item of items.filter((each) => !isFine(each)))
      context.addIssue({ code: "custom", message: `${JSON.stringify(item)} is not ${what}` });
    return items;
  });
}

/** `*` or a list. */
function listOrAll(isFine: (item: string) => boolean, what: string) {
  const items = list(isFine, `${what}; "*" means all of them`);
  return z.string().transform((text, context): "*" | readonly string[] => {
    if (text.trim() === "*") return "*";
    const parsed = items.safeParse(text);
    if (parsed.success) return parsed.data;
    for (const { message } of parsed.error.issues) context.addIssue({ code: "custom", message });
    return z.NEVER;
  });
}

const port = z
  .string()
  .refine((text) => /^\d{1,5}$/u.test(text) && Number(text) >= 1 && Number(text) <= 65_535, {
    error: (issue) => `${JSON.stringify(issue.input)} is not a port, 1 to 65535`,
  })
  .transform(Number);
const ports = list(isPorts, `a port; ${PORT_HELP}`);
const cidrs = list(isCidr, `an address range such as "10.0.0.0/8" or "fd00::/8"`);
const ids = list((id) => /^\d{1,10}$/u.test(id) && Number(id) < 2 ** 32 - 1, "a number, such as 1337");
const interfaces = list(
  // IFNAMSIZ is 16 with the closing NUL; iptables reads a closing "+" as "any that starts so".
  (name) => /^[A-Za-z0-9_.@-]{1,14}[A-Za-z0-9_.@+-]?$/u.test(name) && !name.startsWith("-"),
  `the name of a network interface, such as "eth1"`,
);

const Settings = z.strictObject({
  /** Where outbound connections are sent. Default `15001`. */
  proxyPort: port.prefault("15001"),
  /** Where inbound connections are sent. Default `15006`. */
  inboundCapturePort: port.prefault("15006"),
  /** Inbound port that is never redirected, for tunnels between proxies. Default `15008`. */
  inboundTunnelPort: port.prefault("15008"),
  /** The proxy's users: what they send is not redirected back to it. Default `1337`. */
  proxyUid: ids.prefault("1337"),
  /** The proxy's groups. Default: the same numbers as its users. */
  proxyGid: ids.optional(),
  /** Inbound ports to redirect; empty redirects none. Default `*`. */
  inboundPorts: listOrAll(isPorts, `a port; ${PORT_HELP}`).prefault("*"),
  /** Inbound ports to leave alone when all are redirected, besides the proxy's own. Default none. */
  excludeInboundPorts: ports.prefault(""),
  /** Destinations to redirect; empty redirects none. Default `*`. */
  includeOutboundCidrs: listOrAll(isCidr, `an address range such as "10.0.0.0/8" or "fd00::/8"`).prefault("*"),
  /** Destinations to leave alone. Default none. */
  excludeOutboundCidrs: cidrs.prefault(""),
  /** Destination ports to redirect whatever the address. Default none. */
  includeOutboundPorts: ports.prefault(""),
  /** Destination ports to leave alone. Default none. */
  excludeOutboundPorts: ports.prefault(""),
  /** Interfaces whose traffic is left alone. Default none. */
  excludeInterfaces: interfaces.prefault(""),
  interceptionMode: z
    .enum(["REDIRECT"], {
      error: (issue) =>
        issue.input === "TPROXY"
          ? `"TPROXY" is not supported: it would let the application see the caller's address, which needs a proxy that sends from addresses of others; use "REDIRECT"`
          : `is ${JSON.stringify(issue.input)}, must be "REDIRECT"`,
    })
    .default("REDIRECT"),
});

/** What to redirect. Lists hold checked texts, ready to stand in a rule. */
export interface InterceptSettings {
  readonly proxyPort: number;
  readonly inboundCapturePort: number;
  readonly inboundTunnelPort: number;
  readonly proxyUids: readonly string[];
  readonly proxyGids: readonly string[];
  readonly inboundPorts: "*" | readonly string[];
  readonly excludeInboundPorts: readonly string[];
  readonly includeOutboundCidrs: "*" | readonly string[];
  readonly excludeOutboundCidrs: readonly string[];
  readonly includeOutboundPorts: readonly string[];
  readonly excludeOutboundPorts: readonly string[];
  readonly excludeInterfaces: readonly string[];
}

/** Checks the texts of flags; every problem at once, each named as its flag is. */
export function parseIntercept(flags: Readonly<Record<string, string>>): Parsed<InterceptSettings> {
  const parsed = parseWith(Settings, flags);
  if (!parsed.ok) {
    return {
      ok: false,
      problems: parsed.problems.map(({ path, message }) => ({ path: flagOf(path), message })),
    };
  }
  const { proxyUid, proxyGid = proxyUid, interceptionMode: _, ...rest } = parsed.value;
  const problems = check({ ...rest, proxyUids: proxyUid });
  if (problems.length > 0) return { ok: false, problems };
  const excludeInboundPorts = [...new Set([...rest.excludeInboundPorts, ...OWN_PORTS])];
  return { ok: true, value: { ...rest, excludeInboundPorts, proxyUids: proxyUid, proxyGids: proxyGid } };
}

function check(settings: Omit<InterceptSettings, "proxyGids">): readonly Problem[] {
  const problems: Problem[] = [];
  if (settings.proxyUids.length === 0) {
    const message = "names no user; without one the proxy's own connections would come back to it for ever";
    problems.push({ path: "--proxy-uid", message });
  }
  if (settings.proxyPort === settings.inboundCapturePort) {
    const message = `is ${settings.proxyPort}, as --proxy-port; inbound and outbound need a port each`;
    problems.push({ path: "--inbound-capture-port", message });
  }
  return problems;
}

/** `includeOutboundCidrs` is `--include-outbound-cidrs`. */
function flagOf(path: string): string {
  return `--${path.replaceAll(/[A-Z]/gu, (letter) => `-${letter.toLowerCase()}`)}`;
}
