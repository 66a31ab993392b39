// What the guard lets through and says itself, without a Redis: test/e2e/redis-guard.test.ts has a real one.
import { describe, expect, test } from "bun:test";
import type { RespCommand } from "../../sdk/index.ts";
import { countKeys, labelOf } from "./commands.ts";
import { config } from "./config.ts";
import { ReplyOrder } from "./reply-order.ts";
import { compilePrefixes, compileRules } from "./rules.ts";

function commandOf(text: string): RespCommand {
  const [name = "", ...args] = text.split(" ");
  return { name, args: args.slice(0, 2), count: args.length };
}

function rulesOf(given: object): (text: string, isTransaction?: boolean) => boolean {
  const allows = compileRules(config.parse(given));
  return (text, isTransaction = false) => allows(commandOf(text), isTransaction);
}

describe("rules", () => {
  test.each([
    [{}, "FLUSHALL", true],
    [{ deny: ["flushall"] }, "FLUSHALL", false],
    [{ deny: ["config|set"] }, "CONFIG SET x", false],
    [{ deny: ["config|set"] }, "CONFIG GET x", true],
    [{ allow: ["get", "config|get"] }, "GET k", true],
    [{ allow: ["get", "config|get"] }, "CONFIG get x", true],
    [{ allow: ["get", "config|get"] }, "SET k v", false],
    [{ allow: ["get"], deny: ["get"] }, "GET k", false],
    [{ allow: ["sync"] }, "SYNC", false],
  ])("%j: %s is %p", (given, text, expected) => {
    expect(rulesOf(given)(text)).toBe(expected);
  });

  test("CLIENT REPLY is not queued", () => {
    expect([rulesOf({})("CLIENT REPLY OFF"), rulesOf({})("CLIENT REPLY OFF", true)]).toEqual([true, false]);
  });

  test("that are no commands are told", () => {
    expect(config.safeParse({ deny: ["GET k"] }).error?.issues[0]?.message).toContain("neither a command");
  });
});

test.each([
  ["GET", 1, 1, "get"],
  ["DEL", 3, 3, "del"],
  ["MSET", 5, 2, "mset"],
  ["PING", 1, 0, "ping"],
  ["NOSUCH", 2, 0, "other"],
])("%s with %p arguments has %p keys, and counts as %p", (name, args, keys, label) => {
  expect([countKeys(name, args), labelOf(name)]).toEqual([keys, label]);
});

test("keys count under the prefixes that are named", () => {
  const prefixOf = compilePrefixes(config.parse({ keyPrefixes: ["cart"] }));
  expect(["cart:1", "cart", "cart2:1", "a:cart:1"].map((key) => prefixOf(key))).toEqual([
    "cart",
    "cart",
    "other",
    "other",
  ]);
});

describe("answers of the guard's own", () => {
  const ok = { type: "+", texts: ["OK"] };

  test("come at once where nothing is due, and else behind what is", () => {
    const order = new ReplyOrder();
    expect(order.denied("1")).toBe("1");
    order.passed(commandOf("GET a"));
    order.passed(commandOf("GET b"));
    expect(order.denied("2")).toBe("");
    order.passed(commandOf("GET c"));
    expect(order.denied("3")).toBe("");
    expect(order.denied("4")).toBe("");
    expect([ok, ok, ok].map((reply) => order.replied(reply))).toEqual(["", "2", "34"]);
    expect(order.denied("5")).toBe("5");
  });

  test("wait for every channel of a subscription, and for no message", () => {
    const order = new ReplyOrder();
    order.passed(commandOf("SUBSCRIBE a b"));
    expect(order.denied("no")).toBe("");
    expect(order.replied({ type: "*", texts: ["subscribe", "a", "1"] })).toBe("");
    expect(order.replied({ type: "*", texts: ["message", "a", "m"] })).toBe("");
    expect(order.replied({ type: "*", texts: ["subscribe", "b", "2"] })).toBe("no");
    order.passed(commandOf("PING"));
    expect(order.denied("no")).toBe("");
    expect(order.replied({ type: "*", texts: ["pong", ""] })).toBe("no");
    order.passed(commandOf("UNSUBSCRIBE"));
    order.replied({ type: "*", texts: ["unsubscribe", "a", "1"] });
    order.replied({ type: "*", texts: ["unsubscribe", "b", "0"] });
    order.passed(commandOf("LRANGE l 0 -1"));
    expect(order.denied("no")).toBe("");
    // A list that begins like a message is a reply again.
    expect(order.replied({ type: "*", texts: ["message", "a", "m"] })).toBe("no");
  });

  test("let pushes of RESP3 by, and an error stands for a whole subscription", () => {
    const order = new ReplyOrder();
    order.passed(commandOf("GET a"));
    expect(order.denied("no")).toBe("");
    expect(order.replied({ type: ">", texts: ["invalidate", "a"] })).toBe("");
    expect(order.replied(ok)).toBe("no");
    order.passed(commandOf("SUBSCRIBE a b c"));
    expect(order.denied("no")).toBe("");
    expect(order.replied({ type: "-", texts: ["NOPERM"] })).toBe("no");
  });

  test("take the place of a reply in a transaction, until it ends", () => {
    const order = new ReplyOrder();
    order.passed(commandOf("MULTI"));
    order.swapped("no");
    order.passed(commandOf("EXEC"));
    expect([order.isTransaction, order.isSwapped("+")]).toEqual([false, false]);
    expect(order.replied(ok)).toBe("");
    expect([order.isSwapped(">"), order.isSwapped("-")]).toEqual([false, true]);
    expect(order.replied({ type: "-", texts: ["ERR"] })).toBe("no");
    expect([order.isSwapped("-"), order.replied({ type: "-", texts: ["EXECABORT"] })]).toEqual([false, ""]);
  });

  test("are not given to a client that wants none", () => {
    const order = new ReplyOrder();
    order.passed(commandOf("CLIENT REPLY SKIP"));
    expect(order.denied("no")).toBe("");
    expect(order.denied("no")).toBe("no");
    order.passed(commandOf("CLIENT REPLY OFF"));
    order.passed(commandOf("GET a"));
    expect(order.denied("no")).toBe("");
    order.passed(commandOf("CLIENT REPLY ON"));
    expect(order.denied("no")).toBe("");
    expect(order.replied(ok)).toBe("no");
  });

  test("are bounded while they wait", () => {
    const order = new ReplyOrder();
    order.passed(commandOf("BLPOP a 0"));
    expect(() => {
      for (let sent = 0; sent < 70_000; sent++) order.denied("no");
    }).toThrow("65536 answers wait");
  });
});
