// User and password for whatever is behind: HTTP's Basic scheme against an htpasswd file.
import { defineFilter, reply } from "../../sdk/index.ts";
import { Config } from "./config.ts";
import { parseCredentials } from "./credentials.ts";
import { sha1 } from "./digests.ts";

/** Credentials that passed, by SHA-1: `$apr1$` costs a thousand rounds, and a client sends the same ones each time. */
const PASSED_MAX = 1000;
const passed = new WeakMap<object, Set<string>>();

export default defineFilter({
  name: "basic-auth",
  stage: "authn",
  reads: ["authorization"],
  writes: ["authorization", "x-forwarded-user"],
  config: Config,
  request(request, { config }) {
    const { headers } = request;
    // Only this filter says who it is.
    headers.delete("x-forwarded-user");
    const credentials = parseCredentials(headers.get("authorization"));
    if (credentials === undefined || !accepts(config.users, credentials)) {
      return reply({
        status: 401,
        headers: { "www-authenticate": `Basic realm="${config.realm.replaceAll(/["\\]/gu, "\\$&")}", charset="UTF-8"` },
        body: "User authentication failed. Missing or wrong username and password.",
      });
    }
    if (config.forwardUser) headers.set("x-forwarded-user", credentials.user);
    if (!config.forwardCredentials) headers.delete("authorization");
    return undefined;
  },
});

function accepts(
  users: ReadonlyMap<string, (password: string) => boolean>,
  { user, password }: { readonly user: string; readonly password: string },
): boolean {
  const known = passed.get(users) ?? new Set();
  passed.set(users, known);
  const digest = sha1(`${user}:${password}`);
  if (known.has(digest)) return true;
  // A user who does not exist costs as much as one who does, or the time would tell who is there.
  const check = users.get(user) ?? [...users.values()].at(0);
  const isRight = check?.(password) === true && users.has(user);
  if (isRight && known.size < PASSED_MAX) known.add(digest);
  return isRight;
}
