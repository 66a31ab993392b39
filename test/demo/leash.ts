// Preloaded into every child of the demo: its stdin is a pipe that the demo holds. When the demo is gone without having
// ended its children (a crash, SIGKILL), the pipe ends, and the child with it: there is nothing left to be polite to.

process.stdin.on("end", () => process.kill(process.pid, "SIGKILL"));
process.stdin.resume();
