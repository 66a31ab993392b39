// `vespid intercept` as root runs it, in a network namespace of its own.
import { expect, setDefaultTimeout, test } from "bun:test";
import { makeNamespaces, type Namespace } from "../../test/harness/namespace.ts";
import { runProgram } from "../../test/harness/program.ts";
import { makeTempFolder } from "../../test/harness/temp-folder.ts";

setDefaultTimeout(60_000);

const COMMAND = [process.execPath, `${import.meta.dir}/main.ts`, "intercept"];

async function savedIn(namespace: Namespace): Promise<string> {
  const saved = `${await namespace.run(["iptables-save"])}${await namespace.run(["ip6tables-save"])}`;
  // Counters and times differ.
  return saved.replaceAll(/^#.*\n|\[\d+:\d+\]/gmu, "");
}

async function rulesOf(namespace: Namespace): Promise<readonly string[]> {
  return ((await savedIn(namespace)).match(/^-A.*$/gmu) ?? []).toSorted();
}

test("applied twice there is one set of rules, and after the cleanup there is none", async () => {
  await using wire = await makeNamespaces(1);
  const [machine] = wire.namespaces;
  if (machine === undefined) throw new Error("no namespace");
  // Somebody else's rules, which stay.
  await machine.run(["iptables", "-t", "nat", "-A", "OUTPUT", "-d", "192.0.2.1", "-j", "RETURN"]);
  const before = await rulesOf(machine);
  expect(await machine.run([...COMMAND, "--apply", "-d", "22"])).toBe(
    "ipv4: 19 rules applied\nipv6: 19 rules applied\n",
  );
  const once = await savedIn(machine);
  expect(once).toContain("--dport 22 -j RETURN");
  expect(await machine.run(["ip", "-6", "addr", "show", "dev", "lo"])).toContain("::6/128");
  expect(await machine.run([...COMMAND, "--apply", "-d", "22"])).toContain("ipv6: 19 rules in place already");
  expect(await savedIn(machine)).toBe(once);
  // Other settings replace these.
  const changed: unknown = JSON.parse(await machine.run([...COMMAND, "--apply", "--json", "-d", "23"]));
  expect(changed).toMatchObject({
    applied: [
      { family: "ipv4", changed: true },
      { family: "ipv6", changed: true },
    ],
  });
  expect(await savedIn(machine)).toBe(once.replaceAll("--dport 22 ", "--dport 23 "));
  expect(await machine.run([...COMMAND, "--cleanup"])).toBe("ipv4: rules removed\nipv6: rules removed\n");
  expect(await rulesOf(machine)).toEqual(before);
  expect(await savedIn(machine)).not.toContain("ISTIO");
  expect(await machine.run(["ip", "-6", "addr", "show", "dev", "lo"])).not.toContain("::6/128");
  expect(await machine.run([...COMMAND, "--cleanup"])).toContain("ipv4: there were none");
});

test("the printed script does the same as --apply, as often as it is run", async () => {
  await using wire = await makeNamespaces(2);
  const [one, two] = wire.namespaces;
  if (one === undefined || two === undefined) throw new Error("no namespaces");
  const script = await one.run([
    ...COMMAND,
    "--ip-family",
    "both",
    "-x",
    "169.254.0.0/16",
    "--istio-exclude-interfaces",
    "eth7",
  ]);
  await one.run(["sh", "-c", script]);
  await one.run(["sh", "-c", script]);
  await two.run([...COMMAND, "--apply", "-x", "169.254.0.0/16", "-c", "eth7"]);
  const rules = await rulesOf(one);
  expect(rules.length).toBeGreaterThan(40);
  expect(rules).toEqual(await rulesOf(two));
});

test("nothing is half applied: where one family is refused, the other stays as it was", async () => {
  await using wire = await makeNamespaces(1);
  const [machine] = wire.namespaces;
  if (machine === undefined) throw new Error("no namespace");
  // A family whose program always fails stands in for a kernel that refuses its rules.
  const script = `mkdir -p "$T" && printf '#!/bin/sh\\necho no such table >&2; exit 3\\n' > "$T/ip6tables-restore" && chmod +x "$T/ip6tables-restore" && PATH="$T:$PATH" exec "$@"`;
  const folder = await makeTempFolder();
  await using _ = folder;
  const failed = await runProgram(
    ["ip", "netns", "exec", machine.name, "sh", "-c", script, "sh", ...COMMAND, "--apply"],
    { env: { T: folder.file("bin") } },
  );
  expect(failed.status).toBe(1);
  expect(failed.output).toContain("ip6tables-restore: ended with 3: no such table");
  expect(await savedIn(machine)).not.toContain("ISTIO");
});

test("bad values and what is not supported are told by name, all at once", async () => {
  const wrong = await runProgram([...COMMAND, "-d", "22,x", "-m", "TPROXY", "--redirect-dns", "--apply", "--cleanup"]);
  expect(wrong.status).toBe(2);
  const named = wrong.output
    .trim()
    .split("\n")
    .map((line) => line.split(":")[0]);
  expect(named).toEqual(["--redirect-dns", "--cleanup", "--exclude-inbound-ports", "--interception-mode"]);
  const json = await runProgram([...COMMAND, "--json", "-p", "x"]);
  expect(JSON.parse(json.stdout)).toEqual({
    problems: [{ path: "--proxy-port", message: '"x" is not a port, 1 to 65535' }],
  });
  const unknown = await runProgram([...COMMAND, "--proxy-prot", "15001"]);
  expect([unknown.status, unknown.output]).toEqual([2, expect.stringContaining("--proxy-prot")]);
  const help = await runProgram([...COMMAND, "--help"]);
  expect(help.status).toBe(0);
  expect(help.stdout).toContain("--exclude-inbound-ports");
});
