// Which addresses may call.
import { z } from "../../sdk/index.ts";
import { compileAddresses } from "./addresses.ts";

/** Addresses and blocks, of both versions. */
const Addresses = z.array(z.string()).transform((blocks, context) => {
  const compiled = compileAddresses(blocks);
  if (compiled.ok) return { isEmpty: blocks.length === 0, has: compiled.set };
  for (const { index, message } of compiled.problems) context.addIssue({ code: "custom", path: [index], message });
  return z.NEVER;
});

export const Config = z
  .strictObject({
    /** Where this is given, nobody else may call. Default: everybody who is not denied. */
    allow: Addresses.prefault([]),
    /** Wins over `allow`. Default: nobody. */
    deny: Addresses.prefault([]),
    /** Proxies in front that each add to `x-forwarded-for`: the client is that many from the right. Default `0`: whoever opened the connection. */
    trustedHops: z.int().min(0).max(16).default(0),
    /** What others are answered, 400 to 599. Default `403`. */
    status: z.int().min(400).max(599).default(403),
    /** Only counts whom it would refuse. Default `false`. */
    shadow: z.boolean().default(false),
  })
  .refine(({ allow, deny }) => !allow.isEmpty || !deny.isEmpty, "must have allow or deny");
