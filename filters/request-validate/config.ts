// The description that requests are held to, and how strictly.
import { z } from "../../sdk/index.ts";
import { compileApi } from "./api.ts";
import { CHECKED_MAX_BYTES } from "./body.ts";

export const Config = z
  .strictObject({
    /** An OpenAPI document, 3.0 or 3.1; references lead to parts of it. */
    document: z.record(z.string(), z.unknown()),
    /** `enforce` answers requests that do not fit; `report` lets them pass and tells. Default `enforce`. */
    mode: z.enum(["enforce", "report"]).default("enforce"),
    /** Paths and methods that are not described: `reject` answers 404 and 405. Default `reject`. */
    unknownPaths: z.enum(["reject", "pass"]).default("reject"),
    /** `report` checks replies too, and tells of them; they go on in any case. Default `ignore`. */
    replies: z.enum(["ignore", "report"]).default("ignore"),
    /** Longer bodies of JSON and forms are answered 413, or not looked at in `report`. Default 1 MiB, which is the most; not above `limits.bodyMaxBytes`. */
    maxBytes: z.int().min(1).max(CHECKED_MAX_BYTES).default(CHECKED_MAX_BYTES),
    /** Things that are wrong which one answer names. Default `10`. */
    problemsMax: z.int().min(1).max(20).default(10),
  })
  .transform(({ document, ...rest }, context) => {
    const compiled = compileApi(document, { checksReplies: rest.replies === "report" });
    if (compiled.ok) return { ...rest, api: compiled.api };
    for (const { pointer, message } of compiled.problems)
      context.addIssue({ code: "custom", path: ["document"], message: `${pointer}: ${message}` });
    return z.NEVER;
  });
export type Config = z.output<typeof Config>;
