// Who passes, who does not, and what the service is told.
import { describe, expect, test } from "bun:test";
import { runFilter, type Scene } from "../../sdk/testing/run-filter.ts";
import { parseCredentials } from "./credentials.ts";
import { md5, sha1 } from "./digests.ts";
import filter from "./filter.ts";
import { apr1, isSame, parseHtpasswd } from "./htpasswd.ts";

// `htpasswd -nbs ada secret` and `openssl passwd -apr1 -salt abcdefgh secret`.
const USERS = "# staff\nada:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n\ngrace:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\n";

function scene(credentials: string | undefined, config: Record<string, unknown> = {}): Scene {
  const authorization = credentials === undefined ? {} : { authorization: `Basic ${btoa(credentials)}` };
  return { headers: { ...authorization, "x-forwarded-user": "root" }, config: { users: USERS, ...config } };
}

test.each([
  ["ada:secret", "ada"],
  ["grace:secret", "grace"],
])("%p passes, and the service is told who it is", async (credentials, user) => {
  const { forwarded } = await runFilter(filter, scene(credentials));
  expect(forwarded?.headers["x-forwarded-user"]).toBe(user);
  expect(forwarded?.headers["authorization"]).toStartWith("Basic ");
});

test.each([undefined, "ada:wrong", "ada:", "eve:secret", ":secret", "ada", "grace:Secret"])(
  "%p is asked for a password",
  async (credentials) => {
    const { forwarded, reply } = await runFilter(filter, scene(credentials, { realm: 'the "staff"' }));
    expect(forwarded).toBeUndefined();
    expect(reply.status).toBe(401);
    expect(reply.headers["www-authenticate"]).toBe('Basic realm="the \\"staff\\"", charset="UTF-8"');
  },
);

test("credentials and names go on only where configured, and a name from outside never", async () => {
  const { forwarded } = await runFilter(filter, scene("ada:secret", { forwardUser: false, forwardCredentials: false }));
  expect(forwarded?.headers).toEqual({});
});

test.each([
  ["ada:$2y$05$abcdefghijklmnopqrstuv", "line 1 has a hash"],
  ["ada:plain", "line 1 has a hash"],
  ["{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", 'line 1 is not "user:hash"'],
  [`${USERS}ada:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=`, "a second time"],
])("users %p are a problem", async (users, message) => {
  expect(await runFilter(filter, { config: { users } }).catch(String)).toContain(message);
});

describe("digests agree with the platform's", () => {
  const messages = ["", "a", "abc", "x".repeat(55), "x".repeat(56), "x".repeat(64), "é\u00ff".repeat(50)];
  test.each(messages)("%p", (message) => {
    const bytes = Buffer.from(message, "latin1");
    expect(hex(sha1(message))).toBe(new Bun.CryptoHasher("sha1").update(bytes).digest("hex"));
    expect(hex(md5(message))).toBe(new Bun.CryptoHasher("md5").update(bytes).digest("hex"));
  });

  test("apr1 is Apache's", () => {
    expect(apr1("secret", "abcdefgh")).toBe("h9FWgUz3n9YxylKLlR5SQ/");
  });
});

test.each([
  ["Basic YTpi", { user: "a", password: "b" }],
  ["basic  YTpiOmM=", { user: "a", password: "b:c" }],
  ["Basic", undefined],
  ["Basic a===", undefined],
  ["Basic YQ==", undefined],
  ["Bearer YTpi", undefined],
  [null, undefined],
])("authorization %p holds %j", (value, credentials) => {
  expect(parseCredentials(value)).toEqual(credentials);
});

test("comparison looks at the whole", () => {
  expect([isSame("ab", "ab"), isSame("ab", "ac"), isSame("", "a"), isSame("abab", "ab"), isSame("", "")]).toEqual([
    true,
    false,
    false,
    false,
    true,
  ]);
  expect(parseHtpasswd("").ok).toBe(true);
});

function hex(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("hex");
}
