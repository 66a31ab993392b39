import { counter, defineFilter, hash, reply, timingSafeEqual, z } from "vespid";

export default defineFilter({
  name: "auth",
  stage: "authn",
  reads: ["authorization"],
  // What the client says of itself is replaced; later filters and the access log see metadata.user.
  writes: ["authorization", "x-user", "metadata.user"],
  config: z.strictObject({
    /** SHA-256 of each token, in hex, and whose it is. */
    tokens: z.record(z.string().regex(/^[0-9a-f]{64}$/u), z.string().min(1)),
  }),
  metrics: {
    auth_denied_total: counter({ help: "Requests without a token that is known.", labels: ["reason"] }),
  },

  request(request, { config, metrics }) {
    const [scheme = "", token = ""] = (request.headers.get("authorization") ?? "").split(" ");
    if (scheme.toLowerCase() !== "bearer" || token === "") return deny("missing");
    const digest = hash("sha-256", token).toHex();
    // Every token is compared, and in constant time: how long it takes tells nothing.
    const user = Object.entries(config.tokens).reduce<string | undefined>(
      (found, [known, name]) => (timingSafeEqual(known, digest) ? name : found),
      undefined,
    );
    if (user === undefined) return deny("unknown");
    request.headers.delete("authorization");
    request.headers.set("x-user", user);
    request.setAttribute("metadata.user", user);
    return undefined;

    function deny(reason: string) {
      metrics.auth_denied_total.inc({ reason });
      return reply({ status: 401, headers: { "www-authenticate": "Bearer" }, body: "a token is needed\n" });
    }
  },
});
