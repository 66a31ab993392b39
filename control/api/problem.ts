// Every refusal of the API is one kind of document, RFC 9457, with every problem in it.
import { z } from "zod";
import type { Problem } from "../../runtime/contract/problem.ts";

export const ProblemItem = z.object({
  /** From the body's root: `spec.http[0].route[1].weight`. */
  path: z.string(),
  message: z.string(),
});

/** `application/problem+json`. */
export const ProblemDocument = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string().optional(),
  problems: z.array(ProblemItem).optional(),
  /** Of a conflict: each resource that is not at the version that was expected. */
  conflicts: z
    .array(z.object({ resource: z.string(), expected: z.string().optional(), actual: z.string().optional() }))
    .optional(),
});
export type ProblemDocument = z.infer<typeof ProblemDocument>;

const TITLES = {
  400: "Malformed body",
  401: "Token missing or wrong",
  403: "Forbidden",
  404: "Not found",
  405: "Method not allowed",
  409: "Conflict",
  413: "Body too large",
  415: "Media type not supported",
  422: "Not valid",
  500: "Internal error",
  503: "Not available",
} as const;
export type ProblemStatus = keyof typeof TITLES;

interface Conflict {
  readonly resource: string;
  readonly expected: string | undefined;
  readonly actual: string | undefined;
}

/** What a refusal says beyond its status. */
export interface ProblemDetails {
  readonly detail?: string;
  readonly problems?: readonly Problem[];
  readonly conflicts?: readonly Conflict[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** The reply for a refusal. */
export function renderProblemReply(
  status: ProblemStatus,
  { headers, problems, ...rest }: ProblemDetails = {},
): Response {
  const document = {
    // RFC 9457 §4.2.1: the status says it all; programs read `problems`.
    type: "about:blank",
    title: TITLES[status],
    status,
    ...rest,
    ...(problems === undefined ? {} : { problems: [...problems] }),
  };
  return new Response(JSON.stringify(document), {
    status,
    headers: {
      "content-type": "application/problem+json",
      // The rest of a body that is too large is not read, so nothing can follow it on this connection.
      ...(status === 413 ? { connection: "close" } : {}),
      ...headers,
    },
  });
}
