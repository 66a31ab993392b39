// The lock file names every package, those for other machines included. npm leaves out optional ones that its registry
// does not have, and then its own `npm ci` refuses the file. `bun test/harness/lockfile.ts` adds them.
import { join } from "node:path";
import { z } from "zod";

const LOCK = join(import.meta.dir, "../../package-lock.json");

const Fields = z.record(z.string(), z.unknown());
const Lockfile = z.object({
  packages: z.record(z.string(), z.object({ optionalDependencies: z.record(z.string(), z.string()).default({}) })),
});

/** An optional dependency that the lock file does not name. */
export interface Missing {
  readonly name: string;
  readonly version: string;
}

/** Every optional dependency of a locked package that is not locked itself. */
export function findMissing(lockfile: unknown): readonly Missing[] {
  const { packages } = Lockfile.parse(lockfile);
  const paths = Object.keys(packages);
  return Object.values(packages)
    .flatMap(({ optionalDependencies }) => Object.entries(optionalDependencies))
    .filter(
      ([name]) => !paths.some((path) => path === `node_modules/${name}` || path.endsWith(`/node_modules/${name}`)),
    )
    .map(([name, version]) => ({ name, version }));
}

/** Reads the committed lock file. */
export async function readLockfile(): Promise<unknown> {
  return Bun.file(LOCK).json();
}

if (import.meta.main) await complete();

/** Adds what is missing, told by its name: `@oxlint/binding-linux-x64-musl` is for Linux, x64 and musl. */
async function complete(): Promise<void> {
  // As records, so that every key stays where npm wrote it.
  const lockfile = Fields.parse(await readLockfile());
  const packages = z.record(z.string(), Fields).parse(lockfile["packages"]);
  const missing = findMissing(lockfile);
  for (const { name, version } of missing) {
    const family = `node_modules/${name.split("/")[0] ?? ""}/`;
    const [, sibling = {}] =
      Object.entries(packages).find(
        ([path, entry]) => path.startsWith(family) && path.includes("linux-x64") && entry["version"] === version,
      ) ?? [];
    const { dev, license, engines } = sibling;
    // What is undefined is not written.
    packages[`node_modules/${name}`] = { version, ...platformOf(name), dev, license, engines };
  }
  lockfile["packages"] = Object.fromEntries(Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, "en")));
  await Bun.write(LOCK, `${JSON.stringify(lockfile, undefined, 2)}\n`);
  console.log(missing.length === 0 ? "nothing was missing" : `added ${missing.map(({ name }) => name).join(", ")}`);
}

function platformOf(name: string): object {
  const words = (name.split("/").at(-1) ?? "").split("-");
  const pick = (known: readonly string[]) => known.filter((word) => words.includes(word));
  const os = pick(["aix", "android", "darwin", "freebsd", "linux", "openharmony", "sunos", "win32"]);
  const cpu = pick(["arm", "arm64", "ia32", "ppc64", "riscv64", "s390x", "wasm32", "x64"]);
  const libc = pick(["musl"]).concat(pick(["gnu"]).map(() => "glibc"));
  return {
    cpu,
    ...(libc.length === 0 ? {} : { libc }),
    optional: true,
    ...(os.length === 0 ? {} : { os }),
  };
}
