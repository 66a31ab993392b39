// Commands and replies of Redis' protocol, at any cut.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { splitInline } from "./resp-inline.ts";
import { respCommands, type RespCommand } from "./resp-commands.ts";
import { respReplies, type RespReply } from "./resp-replies.ts";
import { carry, failureOf } from "./testing/connection.ts";
import type { Side } from "./wit/world.ts";

function cut(text: string, from: Side, places: readonly number[], hasEnd = false) {
  const bytes = Buffer.from(text, "latin1");
  const cuts = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted((a, b) => a - b);
  const edges = [0, ...cuts, bytes.length];
  return edges.slice(1).map((edge, index) => ({
    from,
    bytes: bytes.subarray(edges[index], edge),
    isEnd: hasEnd && index === edges.length - 2,
  }));
}

function render(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
}

const places = fc.array(fc.nat(2000), { maxLength: 20 });
const word = fc.string({ unit: fc.constantFrom("a", "\r", "\n", "*1", "$", "\u00ff"), maxLength: 12 });
const command = fc
  .tuple(fc.constantFrom("GET", "del", "FLUSHALL"), fc.array(word, { maxLength: 4 }))
  .map(([name, args]) => args.toSpliced(0, 0, name));

/** Sends commands past a handler that lets FLUSHALL not go on. */
async function send(text: string, at: readonly number[], hasEnd = false) {
  const seen: RespCommand[] = [];
  const carried = await carry(
    () => ({
      downstream: respCommands({ argumentMaxBytes: 16 }, (one) => {
        seen.push(one);
        return one.name === "FLUSHALL" ? "" : undefined;
      }),
    }),
    cut(text, "downstream", at, hasEnd),
  );
  return { seen, upstream: carried.upstream };
}

describe("commands", () => {
  test("are seen one by one, and those that may go on do, at any cut", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 5 }), places, async (commands, at) => {
        const { seen, upstream } = await send(commands.map((one) => render(one)).join(""), at);
        expect(seen).toEqual(
          commands.map(([name = "", ...args]) => ({
            name: name.toUpperCase(),
            args: args.slice(0, 1),
            count: args.length,
          })),
        );
        expect(upstream).toBe(
          commands
            .filter(([name]) => name !== "FLUSHALL")
            .map((one) => render(one))
            .join(""),
        );
      }),
    );
  });

  test("with values of any size stream by, whether they go on or not", async () => {
    const value = "v".repeat(100_000);
    const text = render(["SET", "k", value]) + render(["FLUSHALL", value]) + render(["GET", "k"]);
    const { seen, upstream } = await send(text, [10, 30_000, 99_990, 100_020, 100_040, 150_000]);
    expect(seen.map(({ name, args }) => [name, args[0]?.length])).toEqual([
      ["SET", 1],
      ["FLUSHALL", 16],
      ["GET", 1],
    ]);
    expect(upstream).toBe(render(["SET", "k", value]) + render(["GET", "k"]));
  });

  test("may be inline, with Redis' quotes", async () => {
    const { seen, upstream } = await send("PING\r\n\r\n\"flush\\x61ll\" now\nGET 'a b'\r\n*0\r\n", [3, 9, 20]);
    expect(seen.map(({ name, args }) => [name].concat(args))).toEqual([["PING"], ["FLUSHALL", "now"], ["GET", "a b"]]);
    expect(upstream).toBe("PING\r\n\r\nGET 'a b'\r\n*0\r\n");
  });

  test.each([
    ["*1\n$4\nPING\n", "a header of bare LF"],
    ["*2\r\n$8\r\nFLUSHALL\r\n$\nFLUSHALL\n", "a header of bare LF behind what did not go on"],
    ["*01\r\n$4\r\nPING\r\n", "a leading zero"],
    ["*+1\r\n$4\r\nPING\r\n", "a sign"],
    ["*1\r\n$4\rXPING\r\n", "CR without LF"],
    ["*1\r\n$-1\r\n", "a null argument"],
    ["*1\r\n:4\r\n", "an argument that is no text"],
    ["*2\r\n$3\r\nGETxx$1\r\nk\r\n", "a text without its end"],
    ["*9999999999\r\n", "more arguments than Redis takes"],
    ["*1\r\n$999999999999\r\n", "a longer text than Redis takes"],
    ["PING\0 x\r\n", "a NUL in an inline command"],
    ['GET "k\r\n', "quotes without end"],
    ['GET "k"x\r\n', "quotes inside of a word"],
  ])("%j fails the call: %s", async (text) => {
    expect(await failureOf(send(text, []))).toContain("RespError");
  });

  test("that the client's end cuts go nowhere, as what is left of one could begin another", async () => {
    for (const text of ["*2\r\n$8\r\nFLUSHALL\r\n$", "FLUSHALL", "*1\r\n$8\r\nFLUS", "*"]) {
      expect((await send(render(["GET", "k"]) + text, [], true)).upstream).toBe(render(["GET", "k"]));
    }
  });
});

test.each([
  ["a  b\t", ["a", "b"]],
  ['"a\\n\\"\\\\b" c', ['a\n"\\b', "c"]],
  ["'a\\'b\\n'", ["a'b\\n"]],
  ["", []],
  ["a\u00a0b\v'c'", ["a\u00a0b", "c"]],
])("inline %j is %j", (line, words) => {
  expect(splitInline(line)).toEqual(words);
});

describe("replies", () => {
  const leaf = fc.oneof(
    word.map((text) => `$${text.length}\r\n${text}\r\n`),
    fc.constantFrom(
      "+OK\r\n",
      "-ERR no\r\n",
      ":12\r\n",
      "$-1\r\n",
      "*-1\r\n",
      "_\r\n",
      "#t\r\n",
      ",1.5\r\n",
      "(12\r\n",
      "=7\r\ntxt:a\r\n\r\n",
    ),
  );
  const { reply } = fc.letrec<{ reply: string }>((tie) => ({
    reply: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie("reply"), { maxLength: 4 }).map((all) => `*${all.length}\r\n${all.join("")}`),
      fc.array(tie("reply"), { maxLength: 4 }).map((all) => `>${all.length}\r\n${all.join("")}`),
      fc
        .array(fc.tuple(tie("reply"), tie("reply")), { maxLength: 3 })
        .map((all) => `%${all.length}\r\n${all.flat().join("")}`),
      fc.tuple(tie("reply"), tie("reply")).map(([key, value]) => `|1\r\n${key}${value}:1\r\n`),
    ),
  }));

  test("end where they end, at any cut, and what is written then goes behind them", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(reply, { maxLength: 5 }), places, async (replies, at) => {
        const carried = await carry(
          (connection) => ({ upstream: respReplies(() => connection.write("downstream", "<end>")) }),
          cut(replies.join(""), "upstream", at),
        );
        expect(carried.downstream).toBe(replies.map((one) => `${one}<end>`).join(""));
      }),
    );
  });

  test("say what they begin with", async () => {
    const seen: RespReply[] = [];
    const text = `*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$80\r\n${"m".repeat(80)}\r\n+PONG\r\n*2\r\n*1\r\n+a\r\n:7\r\n`;
    await carry(() => ({ upstream: respReplies((one) => void seen.push(one)) }), cut(text, "upstream", [9, 30, 60]));
    expect(seen).toEqual([
      { type: "*", texts: ["message", "ch", "m".repeat(64)] },
      { type: "+", texts: ["PONG"] },
      { type: "*", texts: ["7"] },
    ]);
  });

  test("that are none fail the call", async () => {
    const handlers = { upstream: respReplies(() => undefined) };
    const sent = (text: string) => carry(() => handlers, cut(text, "upstream", []));
    expect(await failureOf(sent("HTTP/1.1 200\r\n"))).toContain("begins no reply");
    expect(await failureOf(sent("*1\r\n".repeat(65)))).toContain("deep");
  });
});
