// The rules beside those that Istio's own tool (istio-iptables) prints for the same settings, chain by chain.
import { describe, expect, test } from "bun:test";
import { renderApply, renderCleanup, renderScript } from "./render.ts";
import { buildRules, type Family } from "./rules.ts";
import { parseIntercept, type InterceptSettings } from "./settings.ts";

function settingsOf(flags: Readonly<Record<string, string>>): InterceptSettings {
  const parsed = parseIntercept(flags);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.value;
}

function chainOf(chain: string, flags: Readonly<Record<string, string>>, family: Family = "ipv4"): readonly string[] {
  const { rules, jumps } = buildRules(settingsOf(flags), family);
  return [...rules, ...jumps].filter((rule) => rule.chain === chain).map(({ match }) => match);
}

test("outbound by default: everything but loopback and what the proxy sends", () => {
  expect(chainOf("ISTIO_OUTPUT", {})).toEqual([
    "-o lo -s 127.0.0.6/32 -j RETURN",
    "-o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT",
    "-o lo -m owner ! --uid-owner 1337 -j RETURN",
    "-m owner --uid-owner 1337 -j RETURN",
    "-o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT",
    "-o lo -m owner ! --gid-owner 1337 -j RETURN",
    "-m owner --gid-owner 1337 -j RETURN",
    "-d 127.0.0.1/32 -j RETURN",
    "-j ISTIO_REDIRECT",
  ]);
  expect(chainOf("ISTIO_REDIRECT", {})).toEqual(["-p tcp -j REDIRECT --to-ports 15001"]);
  expect(chainOf("OUTPUT", {})).toEqual(["-j ISTIO_OUTPUT"]);
});

test("inbound by default: every port but the proxy's own", () => {
  expect(chainOf("ISTIO_INBOUND", { excludeInboundPorts: "22" })).toEqual([
    "-p tcp --dport 15008 -j RETURN",
    "-p tcp --dport 22 -j RETURN",
    "-p tcp --dport 15020 -j RETURN",
    "-p tcp --dport 15021 -j RETURN",
    "-p tcp --dport 15090 -j RETURN",
    "-p tcp -j ISTIO_IN_REDIRECT",
  ]);
  expect(chainOf("ISTIO_IN_REDIRECT", {})).toEqual(["-p tcp -j REDIRECT --to-ports 15006"]);
  expect(chainOf("PREROUTING", {})).toEqual(["-p tcp -j ISTIO_INBOUND"]);
});

test("IPv6 has its own loopback, its own source address and its own ranges", () => {
  const flags = { includeOutboundCidrs: "10.0.0.0/8,fd00::/8", excludeOutboundCidrs: "1.1.0.0/16,fe80::/10" };
  expect(chainOf("ISTIO_OUTPUT", flags, "ipv6").filter((rule) => !rule.includes("owner"))).toEqual([
    "-o lo -s ::6/128 -j RETURN",
    "-d ::1/128 -j RETURN",
    "-d fe80::/10 -j RETURN",
    "-d fd00::/8 -j ISTIO_REDIRECT",
  ]);
});

test("lists of ports, users and interfaces are rules of their own, and what is left out comes first", () => {
  const flags = {
    inboundPorts: "80,8000:8100",
    includeOutboundPorts: "31000",
    excludeOutboundPorts: "3306",
    includeOutboundCidrs: "",
    excludeInterfaces: "eth1",
    proxyUid: "3,4",
    proxyGid: "1",
  };
  expect(chainOf("ISTIO_INBOUND", flags)).toEqual([
    "-i eth1 -j RETURN",
    "-p tcp --dport 15008 -j RETURN",
    "-p tcp --dport 80 -j ISTIO_IN_REDIRECT",
    "-p tcp --dport 8000:8100 -j ISTIO_IN_REDIRECT",
  ]);
  expect(chainOf("ISTIO_OUTPUT", flags).filter((rule) => !rule.includes(" lo "))).toEqual([
    "-o eth1 -j RETURN",
    "-p tcp --dport 3306 -j RETURN",
    "-p udp --dport 3306 -j RETURN",
    "-m owner --uid-owner 3 -j RETURN",
    "-m owner --uid-owner 4 -j RETURN",
    "-m owner --gid-owner 1 -j RETURN",
    "-d 127.0.0.1/32 -j RETURN",
    "-p tcp --dport 31000 -j ISTIO_REDIRECT",
  ]);
});

test("loopback that is asked for is redirected too", () => {
  const rules = chainOf("ISTIO_OUTPUT", { includeOutboundCidrs: "127.1.2.3/32" });
  expect(rules).not.toContain("-o lo -m owner ! --uid-owner 1337 -j RETURN");
  expect(rules.at(-1)).toBe("-d 127.1.2.3/32 -j ISTIO_REDIRECT");
});

test("no inbound port: connections from outside are not looked at", () => {
  expect(chainOf("PREROUTING", { inboundPorts: "" })).toEqual([]);
  expect(chainOf("OUTPUT", { inboundPorts: "" })).toHaveLength(1);
});

describe("what is wrong is told by flag, value and fix, all at once", () => {
  test.each<[Readonly<Record<string, string>>, readonly string[]]>([
    [{ proxyPort: "0" }, ['--proxy-port: "0" is not a port, 1 to 65535']],
    [
      { inboundPorts: "80,http", excludeOutboundPorts: "9:8" },
      [
        '--inbound-ports: "http" is not a port; write ports as "80,443" or a range as "8000:8100"; "*" means all of them',
        '--exclude-outbound-ports: "9:8" is not a port; write ports as "80,443" or a range as "8000:8100"',
      ],
    ],
    [
      { includeOutboundCidrs: "10.0.0.0/33,x", excludeOutboundCidrs: "*" },
      [
        '--include-outbound-cidrs: "10.0.0.0/33" is not an address range such as "10.0.0.0/8" or "fd00::/8"; "*" means all of them',
        '--include-outbound-cidrs: "x" is not an address range such as "10.0.0.0/8" or "fd00::/8"; "*" means all of them',
        '--exclude-outbound-cidrs: "*" is not an address range such as "10.0.0.0/8" or "fd00::/8"',
      ],
    ],
    [{ proxyUid: "istio-proxy" }, ['--proxy-uid: "istio-proxy" is not a number, such as 1337']],
    [
      { proxyUid: "" },
      ["--proxy-uid: names no user; without one the proxy's own connections would come back to it for ever"],
    ],
    [
      { proxyPort: "7", inboundCapturePort: "7" },
      ["--inbound-capture-port: is 7, as --proxy-port; inbound and outbound need a port each"],
    ],
    [
      { excludeInterfaces: "eth0 -j ACCEPT" },
      ['--exclude-interfaces: "eth0 -j ACCEPT" is not the name of a network interface, such as "eth1"'],
    ],
  ])("%p", (flags, messages) => {
    const parsed = parseIntercept(flags);
    expect(parsed.ok ? [] : parsed.problems.map(({ path, message }) => `${path}: ${message}`)).toEqual([...messages]);
  });

  test("TPROXY is refused by name", () => {
    const parsed = parseIntercept({ interceptionMode: "TPROXY" });
    expect(parsed.ok ? "" : parsed.problems[0]?.message).toStartWith('"TPROXY" is not supported');
    expect(parseIntercept({ interceptionMode: "REDIRECT" }).ok).toBe(true);
  });
});

const SAVED = `# Generated by iptables-save
*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -j OTHERS
COMMIT
*nat
:OUTPUT ACCEPT [3:180]
:ISTIO_OUTPUT - [0:0]
:ISTIO_OUTPUT_DNS - [0:0]
:OTHERS - [0:0]
-A OUTPUT -j OTHERS
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -j ISTIO_OUTPUT_DNS
COMMIT
`;

test("applied over older rules, one transaction replaces ours and leaves those of others", () => {
  const input = renderApply(buildRules(settingsOf({}), "ipv4"), SAVED).split("\n");
  expect(input.slice(0, 9)).toEqual([
    "*nat",
    ":ISTIO_INBOUND - [0:0]",
    ":ISTIO_REDIRECT - [0:0]",
    ":ISTIO_IN_REDIRECT - [0:0]",
    ":ISTIO_OUTPUT - [0:0]",
    "-D OUTPUT -j ISTIO_OUTPUT",
    "-F ISTIO_OUTPUT_DNS",
    "-X ISTIO_OUTPUT_DNS",
    "-A PREROUTING -p tcp -j ISTIO_INBOUND",
  ]);
  expect(input.filter((line) => line.includes("OTHERS"))).toEqual([]);
});

test("cleaning up takes every chain of ours and every way into them, and nothing else", () => {
  expect(renderCleanup(SAVED)).toBe(
    "*nat\n-D OUTPUT -j ISTIO_OUTPUT\n-F ISTIO_OUTPUT\n-F ISTIO_OUTPUT_DNS\n-X ISTIO_OUTPUT\n-X ISTIO_OUTPUT_DNS\nCOMMIT\n",
  );
  expect(renderCleanup("*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")).toBe("");
});

test("the printed script says of each rule why it is there", () => {
  const script = renderScript([buildRules(settingsOf({}), "ipv4")]).split("\n");
  const rules = script.flatMap((line, index) => (line.startsWith("-A") ? [index] : []));
  expect(rules.length).toBeGreaterThan(10);
  for (const index of rules) expect(script[index - 1]).toStartWith("# ");
});
