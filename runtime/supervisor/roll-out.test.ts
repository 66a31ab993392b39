// All or none, whatever workers do in between.
import { expect, test } from "bun:test";
import { Version } from "../contract/snapshot.ts";
import type { Problem } from "../contract/problem.ts";
import { rollOut, type Recipient } from "./roll-out.ts";

const PLAN = { version: Version.parse("v1"), snapshot: "{}", at: "snapshot" };
const PROBLEM: Problem = { path: "snapshot.clusters", message: "is wrong" };

/** What happened, in order. */
class Scene {
  readonly events: string[] = [];
  readonly workers: Worker[] = [];

  add(name: string, answer: "builds" | "refuses" | "dies", whilePreparing: () => void = () => undefined): this {
    this.workers.push(new Worker(name, answer, this.events, whilePreparing));
    return this;
  }

  run(): Promise<readonly Problem[]> {
    return rollOut(PLAN, { recipients: () => this.workers, decided: () => void this.events.push("decided") });
  }
}

class Worker implements Recipient {
  isLive = true;
  readonly name: string;
  readonly #answer: "builds" | "refuses" | "dies";
  readonly #events: string[];
  readonly #whilePreparing: () => void;

  constructor(name: string, answer: "builds" | "refuses" | "dies", events: string[], whilePreparing: () => void) {
    this.name = name;
    this.#answer = answer;
    this.#events = events;
    this.#whilePreparing = whilePreparing;
  }

  async prepare(): ReturnType<Recipient["prepare"]> {
    this.#events.push(`prepare ${this.name}`);
    this.#whilePreparing();
    await Promise.resolve();
    if (this.#answer === "dies") {
      this.isLive = false;
      return undefined;
    }
    return { id: 1, problems: this.#answer === "refuses" ? [PROBLEM] : [] };
  }

  commit(): Promise<boolean> {
    this.#events.push(`commit ${this.name}`);
    return Promise.resolve(true);
  }

  discard(): void {
    this.#events.push(`discard ${this.name}`);
  }
}

test("one builds first, then the others, and all swap after that", async () => {
  const scene = new Scene().add("a", "builds").add("b", "builds");
  expect(await scene.run()).toEqual([]);
  expect(scene.events).toEqual(["prepare a", "prepare b", "decided", "commit a", "commit b"]);
});

test("a snapshot that the first refuses, or does not survive, reaches nobody else", async () => {
  const refusing = new Scene().add("a", "refuses").add("b", "builds");
  expect(await refusing.run()).toEqual([PROBLEM]);
  expect(refusing.events).toEqual(["prepare a", "discard a"]);
  const dying = new Scene().add("a", "dies").add("b", "builds");
  expect(await dying.run()).toMatchObject([{ path: "snapshot", message: expect.stringContaining("did not survive") }]);
  expect(dying.events).toEqual(["prepare a"]);
});

test("a later refusal is one for all, and is told once", async () => {
  const scene = new Scene().add("a", "builds").add("b", "refuses").add("c", "refuses");
  expect(await scene.run()).toEqual([PROBLEM]);
  expect(scene.events.filter((event) => event.startsWith("commit") || event === "decided")).toEqual([]);
  expect(scene.events.filter((event) => event.startsWith("discard"))).toHaveLength(3);
});

test("a worker that dies while others build is left out, one that comes then is not", async () => {
  const scene = new Scene();
  scene.add("a", "builds", () => scene.add("c", "builds")).add("b", "dies");
  expect(await scene.run()).toEqual([]);
  expect(scene.events.filter((event) => event.startsWith("commit"))).toEqual(["commit a", "commit c"]);
});
