// `vespid` as people and scripts run it, against a control service in this process.
import { describe, expect, test } from "bun:test";
import { makeTempFolder } from "../../test/harness/temp-folder.ts";
import { startControl, type Control } from "../service.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";

const TOKEN = "vsp_test";
const silent = { info() {}, warn() {}, error() {} };
const ENTRY = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: reviews }
spec: { hosts: [reviews], resolution: DNS, ports: [{ number: 80, name: http }] }
`;
const RULE = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: reviews }
spec: { host: reviews }
`;

interface Cli extends AsyncDisposable {
  readonly control: Control;
  run(args: readonly string[], env?: Record<string, string>): Promise<{ code: number; out: string; err: string }>;
}

function startCli(): Cli {
  const control = startControl({
    listen: { host: "127.0.0.1", port: 0 },
    store: openSqliteStore(":memory:"),
    token: TOKEN,
    deriveBundle: () => Promise.resolve({ ok: false, problems: [] }),
    checkConfig: { bundle: () => [], builtin: () => [], builtinUpstreams: () => [] },
    log: silent,
    now: () => Date.now(),
    monotonic: () => performance.now(),
  });
  return {
    control,
    async run(args, env = {}) {
      const child = Bun.spawn([process.execPath, `${import.meta.dir}/main.ts`, ...args], {
        env: { ...process.env, VESPID_CONTROL: control.url, VESPID_TOKEN: TOKEN, ...env },
        stdin: new Blob([ENTRY]),
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      return { code, out, err };
    },
    [Symbol.asyncDispose]: () => control.stop(),
  };
}

test("apply, get, delete: what came out can be applied again", async () => {
  await using folder = await makeTempFolder();
  await using cli = startCli();
  await Bun.write(folder.file("a/1.yaml"), ENTRY);
  await Bun.write(folder.file("a/2.yml"), RULE);
  await Bun.write(folder.file("a/notes.txt"), "not a resource");
  expect(await cli.run(["apply", "-f", folder.file("a")])).toEqual({
    code: 0,
    out: "ServiceEntry default/reviews created\nDestinationRule default/reviews created\n",
    err: "",
  });
  expect((await cli.run(["get", "se"])).out).toMatch(
    /^NAMESPACE +NAME +VERSION +AGE +FOR\ndefault +reviews +1 +\ds +reviews\n$/u,
  );
  const shown = await cli.run(["get", "destinationrules", "reviews", "-o", "yaml"]);
  await Bun.write(folder.file("again.yaml"), shown.out);
  expect((await cli.run(["apply", "-f", folder.file("again.yaml")])).out).toBe(
    "DestinationRule default/reviews unchanged\n",
  );
  expect(JSON.parse((await cli.run(["apply", "-f", "-", "--json"])).out)).toMatchObject({
    results: [{ action: "unchanged" }],
  });
  expect((await cli.run(["delete", "-f", folder.file("a")])).out).toBe(
    "DestinationRule default/reviews deleted\nServiceEntry default/reviews deleted\n",
  );
  expect(await cli.run(["get", "vs"])).toEqual({ code: 0, out: "", err: "none\n" });
  expect((await cli.run(["proxies"])).err).toBe("no proxy is connected\n");
});

describe("exit codes and what is told", () => {
  test("1: every problem, with its file and path", async () => {
    await using folder = await makeTempFolder();
    await using cli = startCli();
    await Bun.write(folder.file("1.yaml"), `${ENTRY}---\n${RULE.replace("host:", "hots:")}`);
    await Bun.write(
      folder.file("2.yaml"),
      RULE.replace("host: reviews", "host: reviews, trafficPolicy: { tunnel: {} }"),
    );
    const { code, out, err } = await cli.run(["apply", "-f", folder.file("1.yaml"), folder.file("2.yaml")]);
    expect({ code, out, err: err.replaceAll(folder.path, "") }).toEqual({
      code: 1,
      out: "",
      err: `/1.yaml: DestinationRule default/reviews: spec.host: is required
/1.yaml: DestinationRule default/reviews: spec.hots: is not a field that is known here
/2.yaml: DestinationRule default/reviews: spec.trafficPolicy.tunnel: is a field of Istio that is not supported yet
nothing was applied
`,
    });
    await Bun.write(folder.file("3.yaml"), "a: [1\nb: 2");
    expect((await cli.run(["apply", "-f", folder.file("3.yaml")])).err).toContain("3.yaml: line 2, column 1: ");
    expect(await cli.run(["delete", "vs", "nothing"])).toMatchObject({ code: 1, err: expect.stringContaining("404") });
  });

  test("2: the command line", async () => {
    await using cli = startCli();
    expect(await cli.run(["get", "pods"])).toMatchObject({ code: 2, err: expect.stringContaining("these are:") });
    expect(await cli.run(["apply"])).toMatchObject({ code: 2 });
    expect(await cli.run(["apply", "-f", "/nowhere.yaml"])).toMatchObject({ code: 2 });
    expect(await cli.run(["proxies", "--control", "here"])).toMatchObject({ code: 2 });
    expect(await cli.run(["--help"])).toMatchObject({ code: 0, out: expect.stringContaining("Exit codes:") });
  });

  test("3: control does not answer, or is something else", async () => {
    await using cli = startCli();
    const down = await cli.run(["proxies", "--control", "http://127.0.0.1:1"]);
    expect(down).toMatchObject({ code: 3, err: expect.stringContaining("VESPID_CONTROL") });
    const other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => Response.json({ hello: 1 }) });
    expect(await cli.run(["proxies", "--control", other.url.href])).toMatchObject({ code: 3 });
    await other.stop(true);
  });

  test("4: the token", async () => {
    await using cli = startCli();
    expect(await cli.run(["apply", "-f", "-"], { VESPID_TOKEN: "guess" })).toMatchObject({ code: 4 });
    expect(await cli.run(["apply", "-f", "-", "--token", TOKEN], { VESPID_TOKEN: "guess" })).toMatchObject({ code: 0 });
  });

  test("what answers and is no control is named, and a refused token says how to pass one", async () => {
    await using cli = startCli();
    const other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hm", { status: 404 }) });
    expect(await cli.run(["proxies", "--control", other.url.origin])).toEqual({
      code: 3,
      out: "",
      err: `what answers at ${other.url.origin} is not a Vespid control service (it said 404 Not Found)\n`,
    });
    await other.stop(true);
    const guessed = await cli.run(["apply", "-f", "-"], { VESPID_TOKEN: "guess" });
    expect(guessed.err).toContain("pass it with --token or VESPID_TOKEN");
  });

  test("a document without a name is told by its place, and broken YAML by its lines alone", async () => {
    await using folder = await makeTempFolder();
    await using cli = startCli();
    await Bun.write(folder.file("1.yaml"), `${ENTRY}---\njust text\n---\nkind: Filter\n`);
    const { err } = await cli.run(["apply", "-f", folder.file("1.yaml")]);
    expect(err).toContain("1.yaml: document 2: must be an object");
    expect(err).toContain("1.yaml: document 3 (Filter): apiVersion: is required");
    await Bun.write(folder.file("2.yaml"), "a: [1\nb: 2\n\t- x");
    const broken = await cli.run(["apply", "-f", folder.file("2.yaml")]);
    expect(broken.err.split("\n").filter((line) => !line.includes("2.yaml: line "))).toEqual([""]);
  });
});

describe("--json, for programs", () => {
  test("a list is a list however many there are, and one by its name is itself", async () => {
    await using cli = startCli();
    expect(JSON.parse((await cli.run(["get", "se", "--json"])).out)).toEqual({ items: [] });
    await cli.run(["apply", "-f", "-"]);
    const listed = JSON.parse((await cli.run(["get", "se", "--json"])).out);
    expect(listed).toMatchObject({ items: [{ kind: "ServiceEntry", metadata: { name: "reviews" } }] });
    expect(JSON.parse((await cli.run(["get", "se", "-o", "json"])).out)).toEqual(listed);
    expect(JSON.parse((await cli.run(["get", "se", "reviews", "--json"])).out)).toEqual(listed.items[0]);
  });

  test("what went wrong comes as problems on stdout, with the same exit code", async () => {
    await using folder = await makeTempFolder();
    await using cli = startCli();
    const file = folder.file("1.yaml");
    await Bun.write(file, RULE.replace("host:", "hots:"));
    const refused = await cli.run(["apply", "-f", file, "--json"]);
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.out)).toEqual({
      problems: [
        { source: file, path: "[0].spec.host", message: "is required" },
        { source: file, path: "[0].spec.hots", message: "is not a field that is known here" },
      ],
    });
    const missing = await cli.run(["get", "vs", "nothing", "--json"]);
    expect(JSON.parse(missing.out)).toEqual({
      problems: [{ path: "", message: "Not found: there is no VirtualService default/nothing (404)" }],
    });
    const down = await cli.run(["proxies", "--json", "--control", "http://127.0.0.1:1"]);
    expect(down.code).toBe(3);
    expect(JSON.parse(down.out)).toMatchObject({
      problems: [{ message: expect.stringContaining("does not answer") }, {}],
    });
  });
});
