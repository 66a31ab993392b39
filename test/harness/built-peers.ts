// Programs and libraries that install.sh builds or fetches, where it keeps them.
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** The path of one; throws, and says what to do, when it is not there: a missing peer fails, it never skips. */
export function builtPeer(
  name: "h2spec" | "grpc-interop-client" | "grpc-interop-server" | "libwasmtime.so" | "opa" | "otelcol" | "websocat",
): string {
  const { VESPID_PEERS: own, XDG_CACHE_HOME: cache = join(homedir(), ".cache") } = process.env;
  const path = join(own ?? join(cache, "vespid/peers"), name);
  if (!existsSync(path)) throw new Error(`${path} is not there: run bash test/harness/install.sh`);
  return path;
}
