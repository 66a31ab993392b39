// The command line of the benchmarks; what they measure is not run here.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { runProgram } from "../harness/program.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

function bench(...args: readonly string[]): ReturnType<typeof runProgram> {
  return runProgram([process.execPath, join(import.meta.dir, "main.ts"), ...args]);
}

test("--list names every benchmark and its question", async () => {
  const { status, stdout } = await bench("--list");
  expect(status).toBe(0);
  const names = stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" ")[0]);
  // What is beside them and is no benchmark (generators, upstreams, readers) is not named.
  expect(names).toEqual(expect.arrayContaining(["body", "filter", "http2", "proxy", "start"]));
  expect(names).not.toContain("open-loop");
});

test("--help says what each flag does", async () => {
  const { status, stdout } = await bench("--help");
  expect(status).toBe(0);
  for (const flag of ["--list", "--json", "--check", "--quick"]) expect(stdout).toContain(`\n  ${flag} `);
});

describe("a wrong command line ends with 2 and says what is right", () => {
  test.each([[["nothing"]], [[]], [["start", "proxy"]], [["start", "--fast"]]])("%p", async (args) => {
    const { status, output } = await bench(...args);
    expect(status).toBe(2);
    expect(output).toContain("usage: bun run bench NAME");
  });
});
