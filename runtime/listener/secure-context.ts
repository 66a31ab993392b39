// Keys and certificates, loaded once and shared by connections, and the parts of Bun's TLS sockets that it does not document:
// `upgradeTLS` and `connect` take such a context instead of PEM (measured: 9 µs a request against 13 for node:tls sockets,
// 0.49 ms a handshake against 0.74), and `upgradeTLS` takes bytes that were read before.
import * as tls from "node:tls";
import type { Parsed } from "../contract/problem.ts";

/** An SSL_CTX. Connections that were opened with it keep it, whatever replaces it. */
export type SecureContext = object;

/** What a context is made of, in PEM. */
export interface ContextSource {
  readonly certificate?: string | undefined;
  readonly privateKey?: string | undefined;
  /** Whom to believe; `system` for the roots of this machine, `undefined` for nobody. */
  readonly roots?: string | undefined;
  readonly ciphers?: string | undefined;
  readonly minVersion?: tls.SecureVersion | undefined;
  readonly maxVersion?: tls.SecureVersion | undefined;
}

/** A context, and the certificate that it shows. */
export interface LoadedContext {
  readonly context: SecureContext;
  readonly certificatePem: string;
}

/** Loads a context; what does not fit together is a problem at `path`. */
function loadContext(source: ContextSource, path: string): Parsed<LoadedContext> {
  const { certificate, privateKey: key, ciphers, minVersion, maxVersion } = source;
  const roots = source.roots === "system" ? systemRoots() : source.roots;
  try {
    const created = tls.createSecureContext({
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(key === undefined ? {} : { key }),
      ...(roots === undefined ? {} : { ca: roots }),
      ...(ciphers === undefined ? {} : { ciphers }),
      ...(minVersion === undefined ? {} : { minVersion }),
      ...(maxVersion === undefined ? {} : { maxVersion }),
    });
    // Bun keeps the native object there.
    const context: unknown = created.context;
    if (typeof context !== "object" || context === null) throw new Error("this Bun has no native context");
    return { ok: true, value: { context, certificatePem: certificate ?? "" } };
  } catch (error) {
    // OpenSSL's words name no part of a key.
    return { ok: false, problems: [{ path, message: `cannot be used: ${reasonOf(error)}` }] };
  }
}

/** Names for ALPN as they go over the wire; Bun takes no other form. */
export function encodeAlpn(names: readonly string[]): Buffer {
  return Buffer.concat(names.flatMap((name) => [Buffer.from([name.length]), Buffer.from(name, "latin1")]));
}

/** Contexts by what they were made of, so that a push which does not change them keeps sessions resumable. */
export class ContextCache {
  readonly #loaded = new Map<string, LoadedContext>();
  #previous: ContextCache | undefined;

  constructor(previous: ContextCache | undefined) {
    this.#previous = previous;
  }

  /** What was loaded of a source, as the key of `load` names it. */
  known(key: string): LoadedContext | undefined {
    return this.#loaded.get(key);
  }

  /** Everything was loaded: lets go of the one before, or each would hold all that ever were. */
  seal(): void {
    this.#previous = undefined;
  }

  /** As `loadContext`, or what was loaded before. */
  load(source: ContextSource, path: string): Parsed<LoadedContext> {
    const key = JSON.stringify(source);
    const known = this.#loaded.get(key) ?? this.#previous?.known(key);
    const result = known === undefined ? loadContext(source, path) : { ok: true as const, value: known };
    if (result.ok) this.#loaded.set(key, result.value);
    return result;
  }
}

let systemPem: string | undefined;

/** Read once: they are a quarter of a megabyte. */
function systemRoots(): string {
  systemPem ??= tls.getCACertificates("default").join("\n");
  return systemPem;
}

/** What people get wrong, in words; the rest in OpenSSL's. */
function reasonOf(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  if (reason.includes("KEY_VALUES_MISMATCH")) return "the private key is not that of the certificate";
  if (reason.includes("NO_START_LINE")) return "no PEM in it, which begins with -----BEGIN";
  return reason;
}
