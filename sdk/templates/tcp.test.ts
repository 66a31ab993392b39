import { expect, test } from "bun:test";
import { mount } from "vespid/testing";
import filter from "./tcp.ts";

/** A command as Redis' clients write it. */
function command(...words: readonly string[]): string {
  return [`*${words.length}`, ...words.flatMap((word) => [`$${word.length}`, word]), ""].join("\r\n");
}

test("commands pass, and answers come back", async () => {
  await using f = await mount(filter);
  const connection = await f.connect();
  await connection.send(command("GET", "cart"));
  expect(connection.forwarded).toBe(command("GET", "cart"));
  await connection.answer("$2\r\n42\r\n");
  expect(connection.received).toBe("$2\r\n42\r\n");
});

test("a command that is denied is answered here, however it is cut", async () => {
  await using f = await mount(filter, { config: { denied: ["flushall"] } });
  const connection = await f.connect();
  await connection.send("*1\r\n$8\r\nFLU");
  await connection.send("SHALL\r\n");
  expect(connection).toMatchObject({ forwarded: "", received: "-NOPERM FLUSHALL is denied\r\n", isClosed: false });
  await connection.send(command("PING"));
  expect(connection.forwarded).toBe(command("PING"));
  expect(f.metric("commands_total", { result: "denied" })).toBe(1);
  expect(f.logs).toMatchObject([{ level: "warn", fields: { command: "FLUSHALL" } }]);
});

test("what is none of the protocol ends the connection", async () => {
  await using f = await mount(filter);
  const connection = await f.connect();
  await connection.send("*x\r\n");
  expect(connection).toMatchObject({ forwarded: "", isClosed: true });
});
