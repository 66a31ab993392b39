// A yardstick for sandboxed calls: QuickJS as its componentizer makes it and jco's glue around it, nothing of ours, with
// a function that answers the text it was given.
import { transpile } from "@bytecodealliance/jco";
import { componentize } from "componentize-qjs";
import { makeTempFolder } from "../harness/temp-folder.ts";

const WORLD = `package bench:bare;
interface echo { call: func(head: string) -> string; }
world bare { export echo; }
`;
const SCRIPT = "export const echo = { call: (head) => head };";

/** Calls it once; the text is what comes back. */
export async function loadBareComponent(): Promise<(text: string) => string> {
  await using folder = await makeTempFolder();
  const witPath = folder.file("world.wit");
  await Bun.write(witPath, WORLD);
  const { component } = await componentize({ witPath, jsSource: SCRIPT, sync: true });
  const { files } = await transpile(component, { name: "bare", instantiation: "async" });
  for (const [name, bytes] of Object.entries(files)) await Bun.write(folder.file(`out/${name}`), bytes);
  const loaded: { instantiate(getCore: GetCore, imports: object): Promise<Exports> } = await import(
    folder.file("out/bare.js")
  );
  const made = await loaded.instantiate(
    async (name) => WebAssembly.compile(await Bun.file(folder.file(`out/${name}`)).bytes()),
    WASI,
  );
  return (text) => made.echo.call(text);
}

type GetCore = (name: string) => Promise<WebAssembly.Module>;
interface Exports {
  readonly echo: { call(text: string): string };
}

/** Whatever the componentizer's own runtime imports of WASI: it is called by nothing that is measured. */
const WASI = new Proxy({}, { get: () => new Proxy({}, { get: () => Object }) });
