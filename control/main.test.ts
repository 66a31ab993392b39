// Control as a process: what it promises its operator, and what a `kill -9` cannot take away.
import { describe, expect, test } from "bun:test";
import type { Subprocess } from "bun";
import { makeTempFolder } from "../test/harness/temp-folder.ts";
import { until } from "../test/harness/until.ts";
import { openSqliteStore } from "./store/sqlite-store.ts";

const TOKEN = "vsp_test";

interface RunningControl extends AsyncDisposable {
  readonly process: Subprocess<"ignore", "pipe", "pipe">;
  readonly url: string;
  /** What it printed until it listened, and a little after. */
  printed(): string;
}

async function startProcess(store: string, token: string | undefined = TOKEN): Promise<RunningControl> {
  const child = Bun.spawn(
    [process.execPath, `${import.meta.dir}/main.ts`, "--listen", "127.0.0.1:0", "--store", store],
    {
      env: { ...process.env, VESPID_TOKEN: token, VESPID_LOG_LEVEL: "silent" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  let printed = "";
  void (async () => {
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) printed += chunk;
  })();
  const url = await until("control's address", () => /listens on (\S+)/u.exec(printed)?.[1]);
  return {
    process: child,
    url,
    printed: () => printed,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

function put(url: string, name: string, token = TOKEN): Promise<Response> {
  return fetch(`${url}/v1/resources/ServiceEntry/default/${name}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}` },
    body: `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec: { hosts: [${name}.test], resolution: DNS, ports: [{ number: 80, name: http }] }`,
  });
}

describe("kill -9 during writes", () => {
  test("loses no acknowledged write, and what is there is whole", async () => {
    await using folder = await makeTempFolder();
    const file = folder.file("control.sqlite");
    const acknowledged: string[] = [];
    const rounds = [40, 60];
    for (const [round, count] of rounds.entries()) {
      // Each round opens what the one before it left.
      // oxlint-disable-next-line no-await-in-loop
      await using control = await startProcess(file);
      const write = async (writer: number) => {
        for (let index = 0; ; index += 1) {
          const name = `r${round}-w${writer}-${index}`;
          // oxlint-disable-next-line no-await-in-loop
          const reply = await put(control.url, name).catch(() => undefined);
          if (reply?.status !== 201) return;
          acknowledged.push(name);
        }
      };
      const writers = [write(0), write(1), write(2)];
      const enough = acknowledged.length + count;
      // oxlint-disable-next-line no-await-in-loop
      await until(`${count} writes`, () => (acknowledged.length >= enough ? true : undefined));
      control.process.kill("SIGKILL");
      // oxlint-disable-next-line no-await-in-loop
      await Promise.all([...writers, control.process.exited]);
    }
    const store = openSqliteStore(file);
    const kept = new Set(store.all().map(({ key }) => key.name));
    expect(acknowledged.filter((name) => !kept.has(name))).toEqual([]);
    expect(acknowledged.length).toBeGreaterThanOrEqual(100);
    // A write that was under way when the process died may have been kept too; each writer had one.
    expect(kept.size - acknowledged.length).toBeLessThanOrEqual(3 * rounds.length);
    expect(store.revision()).toBe(kept.size);
    store.close();
  });
});

describe("the process", () => {
  test("shows the token of the first run once, and takes it afterwards", async () => {
    await using folder = await makeTempFolder();
    const file = folder.file("control.sqlite");
    let token: string;
    {
      await using control = await startProcess(file, "");
      token = await until("the token", () => /token for changes, shown this once: (\S+)/u.exec(control.printed())?.[1]);
      expect((await put(control.url, "a", token)).status).toBe(201);
      expect((await put(control.url, "b", "guess")).status).toBe(401);
    }
    await using control = await startProcess(file, "");
    expect((await put(control.url, "b", token)).status).toBe(201);
    expect(control.printed()).not.toContain("token");
  });

  test("ends with 0 on SIGTERM, though a client keeps its connection open", async () => {
    await using folder = await makeTempFolder();
    await using control = await startProcess(folder.file("control.sqlite"));
    expect((await fetch(`${control.url}/healthz`)).status).toBe(200);
    control.process.kill("SIGTERM");
    expect(await control.process.exited).toBe(0);
  });

  test.each([
    ["an address that is none", ["--listen", "nowhere:99999"], "is not an address"],
    ["a store that is a folder", ["--listen", "127.0.0.1:0", "--store", "/"], "cannot be opened"],
    ["an unknown flag", ["--lissen", "x"], "unknown option"],
  ])("does not start with %s, and says why", (_what, flags, reason) => {
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, `${import.meta.dir}/main.ts`, ...flags]);
    expect(exitCode).toBeGreaterThan(0);
    expect(stderr.toString()).toContain(reason);
  });
});

test("the configuration of a built-in filter is checked as the proxies would, before any of them gets it", async () => {
  await using folder = await makeTempFolder();
  await using control = await startProcess(folder.file("control.sqlite"));
  const reply = await fetch(`${control.url}/v1/apply`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}` },
    body: `apiVersion: vespid.dev/v1
kind: Filter
metadata: { name: cors }
spec: { builtin: cors, config: { allowOrigin: ["*"], allowOrigins: [{ exct: "*" }], maxAge: 5 } }
---
apiVersion: vespid.dev/v1
kind: Filter
metadata: { name: doors }
spec: { builtin: basic-auth, config: {} }
---
apiVersion: vespid.dev/v1
kind: Filter
metadata: { name: hush }
spec: { builtin: redact, config: { rules: [{ patterns: [{ regex: "(a" }] }] } }
`,
  });
  expect(reply.status).toBe(422);
  const { problems }: { problems: readonly { path: string; message: string }[] } = JSON.parse(await reply.text());
  expect(problems.map(({ path, message }) => `${path}: ${message}`)).toEqual([
    '[0].spec.config.allowOrigins[0]: is {"exct":"*"}, which is none of the forms that are known here, must have exact or prefix or regex',
    "[0].spec.config.maxAge: is 5, must be a string",
    "[0].spec.config.allowOrigin: is not a field that is known here",
    "[1].spec.config.users: is required",
    expect.stringContaining("[2].spec.config.rules[0].patterns[0].regex: cannot be used: Error: regex-test: "),
  ]);
});

async function runToItsEnd(...args: readonly string[]): Promise<{ code: number; err: string }> {
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/main.ts`, ...args], {
    stdout: "ignore",
    stderr: "pipe",
  });
  const [err, code] = await Promise.all([child.stderr.text(), child.exited]);
  return { code, err };
}

test("a wrong command line ends with 2, an address that is taken with 1, and both say what to change", async () => {
  await using folder = await makeTempFolder();
  expect(await runToItsEnd("--nope")).toMatchObject({ code: 2, err: expect.stringContaining("--nope") });
  expect(await runToItsEnd("--help")).toMatchObject({ code: 0 });
  await using first = await startProcess(folder.file("control.sqlite"));
  const { host } = new URL(first.url);
  expect(await runToItsEnd("--store", ":memory:", "--listen", host)).toEqual({
    code: 1,
    err: `control cannot start: cannot listen on ${host}: the port is in use; pass --listen HOST:PORT\n`,
  });
});
