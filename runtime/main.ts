#!/usr/bin/env bun
// Starts the proxy with the engine set up for it. JavaScriptCore reads its settings when a process begins, so this file
// replaces itself once (execve: same process id, some 20 ms) unless its caller has set them already.

/** For one small, busy, long-lived process. */
const ENGINE_SETTINGS: Readonly<Record<string, string>> = {
  // The heap grows as on a machine with this much memory.
  BUN_JSC_forceRAMSize: String(96 * 1024 * 1024),
  // The last tier of the JIT costs a request as much as it saves (28 µs with it and without) and holds 3 MB.
  BUN_JSC_useFTLJIT: "0",
  // Each thread keeps some 10 MB for a while after it compiled; a filter is compiled once, in the background.
  BUN_JSC_numberOfWasmCompilerThreads: "1",
  // Memory that was freed goes back at once: what a burst took does not stay.
  MIMALLOC_PURGE_DELAY: "0",
  // Beyond 8, WebAssembly memories check each access in code; a filter has one.
  BUN_JSC_maxNumWasmFastMemories: "64",
};

const missing = Object.entries(ENGINE_SETTINGS).filter(([name]) => process.env[name] === undefined);
if (missing.length > 0 && process.execve !== undefined) {
  const command = [process.execPath, ...process.execArgv, import.meta.path, ...process.argv.slice(2)];
  process.execve(process.execPath, command, { ...process.env, ...Object.fromEntries(missing) });
}
await import("./run.ts");
