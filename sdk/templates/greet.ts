import { defineFilter, reply, z } from "vespid";

export default defineFilter({
  name: "greet",
  stage: "transform",
  // Only what is listed here crosses into the filter, and only this can be changed.
  reads: [":path", "x-user"],
  writes: ["x-greeting"],
  config: z.strictObject({
    /** What to say. */
    greeting: z.string().default("hello"),
    /** Users who are turned away. */
    blocked: z.array(z.string()).default([]),
  }),

  request(request, { config, log }) {
    const user = request.headers.get("x-user") ?? "stranger";
    if (!config.blocked.includes(user)) return undefined;
    log.info("turned away", { user, path: request.path });
    return reply({ status: 403, body: "not you\n" });
  },

  response(response, { config }) {
    const user = response.request.headers.get("x-user") ?? "stranger";
    response.headers.set("x-greeting", `${config.greeting} ${user}`);
  },
});
