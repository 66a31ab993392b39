#!/usr/bin/env bun
// Starts the proxy with the engine set up for it. JavaScriptCore reads its settings when a process begins, so this file
// replaces itself once (execve: same process id, some 20 ms) unless its caller has set them already.

/** For one small, busy, long-lived process. */
const ENGINE_SETTINGS: Readonly<Record<string, string>> = {
  // The collector compares the memory of the whole process with this: beyond 80 % of it, whatever holds that memory, it
  // never rests (a request costs half as much again, a reply of 64 KB three times). The heap itself doubles at most.
  BUN_JSC_forceRAMSize: String(1024 * 1024 * 1024),
  // Each thread keeps some 10 MB for a while after it compiled; a filter is compiled once, in the background.
  BUN_JSC_numberOfWasmCompilerThreads: "1",
  // Memory that was freed goes back after so many milliseconds: what a burst took does not stay. At once would have the
  // kernel take and give the same pages again and again, a third of the time that it takes to start.
  MIMALLOC_PURGE_DELAY: "10",
  // Beyond 8, WebAssembly memories check each access in code; a filter has one.
  BUN_JSC_maxNumWasmFastMemories: "64",
};

// Those that a launcher set before (an older version's, in a hot restart) are not its user's, and are set anew.
const own = (process.env["VESPID_ENGINE"] ?? "").split(",");
const wanted = Object.entries(ENGINE_SETTINGS).filter(
  ([name]) => process.env[name] === undefined || own.includes(name),
);
const environment = { ...Object.fromEntries(wanted), VESPID_ENGINE: wanted.map(([name]) => name).join(",") };
const isMissing = wanted.some(([name, value]) => process.env[name] !== value);
if (process.env["VESPID_HANDOVER"] !== undefined) {
  // A supervisor in a hot restart: to replace itself once more would close the sockets. It goes on as it is; its workers
  // start with these.
  Object.assign(process.env, environment);
} else if (isMissing && process.execve !== undefined) {
  const command = [process.execPath, ...process.execArgv, import.meta.path, ...process.argv.slice(2)];
  process.execve(process.execPath, command, { ...process.env, ...environment });
}
await import("./run.ts");
