// Who may speak to a supervisor, and to whom a worker speaks: the name of the socket is free for all on this machine.
import { expect, test } from "bun:test";
import { until } from "../../test/harness/until.ts";
import { openLink } from "./link.ts";
import { Member } from "./member.ts";
import { PROTOCOL, type Report } from "./messages.ts";
import { openSwitchboard } from "./switchboard.ts";

function memberOf(pid: number): Member {
  return new Member({ pid, ended: Promise.race([]), kill: () => undefined }, 0, 0, 0);
}

function hello(): Report {
  return {
    kind: "hello",
    protocol: PROTOCOL,
    token: "secret",
    pid: process.pid,
    crew: 0,
    slot: 0,
    rows: [],
    isDraining: false,
  };
}

function listen(name: string, find: (pid: number) => Member | undefined, heard: string[]): Disposable {
  const greeted = (): void => void heard.push("greeted");
  const close = openSwitchboard({ name, token: "secret", find, greeted, heard: () => undefined });
  return { [Symbol.dispose]: close };
}

function dial(name: string, pid: number) {
  const link = { isLost: false, startedAtMs: performance.now() };
  openLink({
    name,
    pid,
    hello,
    heard: () => undefined,
    lost: () => (link.isLost = true),
    // Ten seconds pass in half of one.
    now: () => (performance.now() - link.startedAtMs) * 20,
  });
  return link;
}

test("a process that the supervisor did not start is hung up on before it says a word", async () => {
  const heard: string[] = [];
  const name = `vespid-test-${crypto.randomUUID()}`;
  using board = listen(name, (pid) => (pid === process.pid + 1 ? memberOf(pid) : undefined), heard);
  expect(board).toBeDefined();
  const { promise, resolve } = Promise.withResolvers<void>();
  await Bun.connect({
    unix: `\0${name}`,
    socket: { data: () => undefined, close: () => resolve(), error: () => resolve() },
  });
  await promise;
  expect(heard).toEqual([]);
});

test("a worker says its token to its supervisor alone, though another listens under the name", async () => {
  for (const [pid, expected] of [
    [process.pid, ["greeted"]],
    [process.pid + 1, []],
  ] as const) {
    const heard: string[] = [];
    const name = `vespid-test-${crypto.randomUUID()}`;
    const board = listen(name, memberOf, heard);
    const link = dial(name, pid);
    if (expected.length > 0) await until("the greeting", () => (heard.length > 0 ? true : undefined));
    else await until("it to give up", () => link.isLost || undefined);
    expect(heard).toEqual([...expected]);
    board[Symbol.dispose]();
    if (expected.length > 0) await until("it to give up", () => link.isLost || undefined);
  }
});
