// What is wrong with a request, and how its client is told (RFC 9457).
import { reply, type Verdict } from "../../sdk/index.ts";

/** One thing that is wrong. */
export interface Finding {
  readonly in: "path" | "query" | "header" | "cookie" | "body";
  /** Of a parameter. */
  readonly name?: string;
  /** Inside of the body or the parameter: a JSON pointer. */
  readonly pointer: string;
  readonly detail: string;
}

/** Of names and pointers, which clients may have written. */
const SHOWN_MAX = 200;
const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  413: "Content Too Large",
  415: "Unsupported Media Type",
};

/** An answer in `application/problem+json`. */
export function problemReply(
  status: number,
  detail: string,
  more: { readonly findings?: readonly Finding[]; readonly headers?: Readonly<Record<string, string>> } = {},
): Verdict {
  const errors = more.findings?.map(({ in: where, name, pointer, detail: what }) => ({
    in: where,
    ...(name !== undefined && { name: cut(name) }),
    ...((where === "body" || pointer !== "") && { pointer: cut(`#${pointer}`) }),
    detail: cut(what),
  }));
  const body = { type: "about:blank", title: TITLES[status] ?? "", status, detail, ...(errors && { errors }) };
  return reply({
    status,
    headers: { "content-type": "application/problem+json", ...more.headers },
    body: JSON.stringify(body),
  });
}

/** One line for a log. */
export function renderFinding({ in: where, name, pointer, detail }: Finding): string {
  const place = name === undefined ? where : `${where} ${name}`;
  return cut(`${place}${pointer === "" ? "" : ` ${pointer}`}: ${detail}`);
}

function cut(text: string): string {
  return (text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text).toWellFormed();
}
