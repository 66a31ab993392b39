// What a request is for, by the four forms of its target (RFC 9112 §3.2).
import { AUTHORITY } from "./http1-grammar.ts";

/** Path and authority of a request. */
export interface Target {
  /** Starts with a slash, or is `*`; empty for CONNECT. */
  readonly path: string;
  readonly authority: string;
}

/** RFC 9110 §9.3.6: a host and a port that is there. */
const HOST_AND_PORT = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]+):\d{1,5}$/u;

/** Reads a target; `undefined` where it is of no form that its method may have. */
export function readTarget(method: string, target: string, host: string): Target | undefined {
  if (method === "CONNECT") return HOST_AND_PORT.test(target) ? { path: "", authority: target } : undefined;
  if (target.charCodeAt(0) === 47) return { path: target, authority: host };
  if (target === "*") return method === "OPTIONS" ? { path: "*", authority: host } : undefined;
  // RFC 9112 §3.2.2: the authority of an absolute target counts, not the Host field.
  const absolute = /^https?:\/\/([^/?]+)([/?].*)?$/iu.exec(target);
  const authority = absolute?.[1] ?? "";
  if (authority === "" || !AUTHORITY.test(authority)) return undefined;
  const path = absolute?.[2];
  // RFC 9112 §3.2.4: OPTIONS for a whole server, by way of a proxy.
  if (path === undefined && method === "OPTIONS") return { path: "*", authority };
  if (path === undefined) return { path: "/", authority };
  return { path: path.startsWith("/") ? path : `/${path}`, authority };
}
