// The operating system of a guest: clocks, a seed and a place for last words. Everything else that its engine links
// against is there by name and traps when it is called; no file, socket or environment is in reach.
import type { BoundedHost } from "./bounded-host.ts";

type Namespace = Readonly<Record<string, unknown>>;

const NANOSECONDS = 1_000_000;

/** What a stream takes at once. */
export const WORDS_MAX_BYTES = 4096;

/** Logs what a guest writes. Throws where that is more than it was told there is room for (WASI, `write`): the guest traps. */
export function writeWords(host: Pick<BoundedHost, "log">, bytes: Uint8Array): void {
  if (bytes.length > WORDS_MAX_BYTES)
    throw new Error(`writes ${bytes.length} bytes, there is room for ${WORDS_MAX_BYTES}`);
  const text = decoder.decode(bytes).trim();
  if (text !== "") host.log("error", text);
}

/** Imports by interface, as the glue looks them up. */
export function wasiImports(host: Pick<BoundedHost, "clock" | "log">): Readonly<Record<string, Namespace>> {
  /** What a guest's engine writes before it gives up; a trap follows. */
  class OutputStream {
    checkWrite(): bigint {
      return BigInt(WORDS_MAX_BYTES);
    }
    write(bytes: Uint8Array): void {
      writeWords(host, bytes);
    }
    blockingWriteAndFlush(bytes: Uint8Array): void {
      this.write(bytes);
    }
    flush(): void {}
    blockingFlush(): void {}
    subscribe(): Pollable {
      return new Pollable();
    }
  }
  const nowNs = () => BigInt(Math.round(host.clock.now() * NANOSECONDS));
  const named: Readonly<Record<string, Namespace>> = {
    "wasi:cli/environment": trapping({ getEnvironment: () => [], getArguments: () => [], initialCwd: () => undefined }),
    "wasi:cli/stderr": trapping({ getStderr: () => new OutputStream() }),
    "wasi:cli/stdout": trapping({ getStdout: () => new OutputStream() }),
    "wasi:cli/terminal-stderr": trapping({ getTerminalStderr: () => undefined }),
    "wasi:cli/terminal-stdout": trapping({ getTerminalStdout: () => undefined }),
    "wasi:cli/terminal-stdin": trapping({ getTerminalStdin: () => undefined }),
    "wasi:clocks/monotonic-clock": trapping({
      now: () => BigInt(Math.round(host.clock.monotonic() * NANOSECONDS)),
      resolution: () => BigInt(NANOSECONDS),
    }),
    "wasi:clocks/wall-clock": trapping({
      now: () => ({ seconds: nowNs() / 1_000_000_000n, nanoseconds: Number(nowNs() % 1_000_000_000n) }),
      resolution: () => ({ seconds: 0n, nanoseconds: NANOSECONDS }),
    }),
    "wasi:filesystem/preopens": trapping({ getDirectories: () => [] }),
    "wasi:io/poll": trapping({ Pollable }),
    "wasi:io/streams": trapping({ OutputStream }),
    "wasi:random/insecure-seed": trapping({ insecureSeed: seed, getInsecureSeed: seed }),
    "wasi:random/insecure": trapping({}),
    "wasi:random/random": trapping({}),
  };
  return new Proxy(named, {
    get: (known, name) =>
      typeof name === "string" ? (Object.hasOwn(known, name) ? known[name] : trapping({})) : undefined,
  });
}

/** A namespace whose other members are functions, or resources, that trap. */
function trapping(known: Namespace): Namespace {
  return new Proxy(known, {
    get: (members, name) => {
      if (typeof name !== "string" || Object.hasOwn(members, name)) return members[String(name)];
      if (/^[A-Z]/u.test(name)) return Unavailable;
      return () => {
        throw new Error(`${name} is not there for filters`);
      };
    },
  });
}

/** Output is always ready: C and Rust ask before they write. */
class Pollable {
  ready(): boolean {
    return true;
  }
  block(): void {}
}

/** What stands in for a resource that guests do not get. */
class Unavailable {
  readonly isAvailable = false;
}

function seed(): [bigint, bigint] {
  const [first = 0n, second = 0n] = crypto.getRandomValues(new BigUint64Array(2));
  return [first, second];
}

const decoder = new TextDecoder();
