// Preloaded into every child of the demo: its stdin is a pipe that the demo holds. When the demo is gone, however it
// went (a crash and SIGKILL included), the pipe ends, and the child ends itself the way it does on SIGTERM.

process.stdin.on("end", () => process.kill(process.pid, "SIGTERM"));
process.stdin.resume();
