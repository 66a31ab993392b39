// Who may pass: an htpasswd file's text.
import { z } from "../../sdk/index.ts";
import { parseHtpasswd } from "./htpasswd.ts";

export const Config = z.strictObject({
  /** Shown by browsers when they ask. Default `"restricted"`. */
  realm: z
    .string()
    .regex(/^[\x20-\x7e]*$/u, "must be printable ASCII")
    .default("restricted"),
  /** Lines `user:hash`, as `htpasswd -s` (SHA-1) and `htpasswd -m` (apr1) write them. */
  users: z.string().transform((text, context) => {
    const parsed = parseHtpasswd(text);
    if (parsed.ok) return parsed.users;
    for (const message of parsed.messages) context.addIssue({ code: "custom", message });
    return z.NEVER;
  }),
  /** Tells the service who it is in `x-forwarded-user`; one that came from outside is removed in any case. Default `true`. */
  forwardUser: z.boolean().default(true),
  /** Lets `authorization` go on to the service. Default `true`. */
  forwardCredentials: z.boolean().default(true),
});
