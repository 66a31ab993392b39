// Network namespaces that a test makes itself: each is a machine of its own, with its own addresses, ports and rules.
import { runProgram, startProgram, type Program, type ProgramOptions } from "./program.ts";

/** A machine with an interface on a wire that the others of its group share. Needs root. */
export interface Namespace {
  readonly name: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Starts a program in it. */
  start(command: readonly string[], options?: ProgramOptions): Program;
  /** Runs a program in it to its end; throws with what it printed when that is not 0. */
  run(command: readonly string[], options?: ProgramOptions): Promise<string>;
}

/** Namespaces on one wire, removed with their interfaces and rules on disposal. */
export interface Wire extends AsyncDisposable {
  readonly namespaces: readonly Namespace[];
}

let made = 0;

/** Makes that many namespaces, `10.99.0.N` and `fd99::N`, joined by a bridge in one more. */
export async function makeNamespaces(count: number): Promise<Wire> {
  const prefix = `vsp${process.pid}-${made++}`;
  const names = [`${prefix}w`, ...Array.from({ length: count }, (_, index) => `${prefix}n${index + 1}`)];
  const [wire = ""] = names;
  const remove = async (): Promise<void> => {
    for (const name of names) await runProgram(["ip", "netns", "del", name]);
  };
  try {
    for (const name of names) {
      await must(["ip", "netns", "add", name]);
      await must(["ip", "-n", name, "link", "set", "lo", "up"]);
    }
    await must(["ip", "-n", wire, "link", "add", "br0", "type", "bridge"]);
    await must(["ip", "-n", wire, "link", "set", "br0", "up"]);
    const namespaces: Namespace[] = [];
    for (const [index, name] of names.slice(1).entries()) namespaces.push(await join(wire, name, index + 1));
    return { namespaces, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function join(wire: string, name: string, number: number): Promise<Namespace> {
  const [ipv4, ipv6] = [`10.99.0.${number}`, `fd99::${number}`];
  await must(["ip", "-n", wire, "link", "add", `p${number}`, "type", "veth", "peer", "name", "eth0", "netns", name]);
  await must(["ip", "-n", wire, "link", "set", `p${number}`, "master", "br0", "up"]);
  await must(["ip", "-n", name, "addr", "add", `${ipv4}/24`, "dev", "eth0"]);
  await must(["ip", "-n", name, "addr", "add", `${ipv6}/64`, "dev", "eth0", "nodad"]);
  await must(["ip", "-n", name, "link", "set", "eth0", "up"]);
  const inside = ["ip", "netns", "exec", name];
  return {
    name,
    ipv4,
    ipv6,
    start: (command, options) => startProgram([...inside, ...command], options),
    run: (command, options) => must([...inside, ...command], options),
  };
}

async function must(command: readonly string[], options?: ProgramOptions): Promise<string> {
  const { status, stdout, output } = await runProgram(command, options);
  if (status !== 0) throw new Error(`${command.join(" ")} ended with ${status}:\n${output}`);
  return stdout;
}
