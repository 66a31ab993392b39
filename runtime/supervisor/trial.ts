// Before a hot restart: the program as it is on disk now is started once beside the one that serves. It reads its settings,
// loads all of itself and builds the snapshot. Only then is anything replaced.
import { Member, type Plan } from "./member.ts";
import { PROTOCOL, type Report } from "./messages.ts";

/** For all of it. */
const TRIAL_WITHIN_MS = 60_000;
/** What it printed last, for the reason. */
const REASON_MAX_CHARS = 2000;

export class Trial {
  readonly member: Member;
  readonly #stderr: Promise<string>;
  readonly #greeted: PromiseWithResolvers<string | undefined> = Promise.withResolvers<string | undefined>();

  constructor(command: readonly string[], environment: Readonly<Record<string, string>>, nowMs: number) {
    const child = Bun.spawn([...command], { stdio: ["ignore", "ignore", "pipe"], env: environment });
    const ended = child.exited.then((exitCode) => ({ exitCode, signal: null }));
    this.member = new Member({ pid: child.pid, ended, kill: (signal) => child.kill(signal) }, 0, 0, nowMs);
    this.#stderr = new Response(child.stderr).text();
  }

  greeted(hello: Extract<Report, { kind: "hello" }>): void {
    this.member.state = "joined";
    const speaks = hello.protocol === PROTOCOL;
    this.#greeted.resolve(
      speaks ? undefined : "it speaks to its workers in another way: stop this one and start it anew",
    );
  }

  heard(report: Report): void {
    if (report.kind === "prepared") this.member.answered(report);
    if (report.kind === "failed") this.#greeted.resolve(JSON.stringify(report.problems));
  }

  /** Why the program cannot take over, or nothing. The process is gone afterwards. */
  async run(plan: Plan | undefined): Promise<string | undefined> {
    const died = this.member.process.ended.then(async () => {
      this.member.disconnect();
      return `it ended: ${(await this.#stderr).trim().slice(-REASON_MAX_CHARS)}`;
    });
    const timer = setTimeout(() => this.#greeted.resolve("it took too long to start"), TRIAL_WITHIN_MS);
    const why = await Promise.race([this.#greeted.promise.then((reason) => reason ?? this.#build(plan)), died]);
    clearTimeout(timer);
    this.member.process.kill("SIGKILL");
    await died;
    return why;
  }

  async #build(plan: Plan | undefined): Promise<string | undefined> {
    if (plan === undefined) return undefined;
    const answer = await this.member.prepare(plan, TRIAL_WITHIN_MS);
    if (answer === undefined) return "it did not survive building the snapshot, or took too long";
    return answer.problems.length === 0 ? undefined : `it refuses the snapshot: ${JSON.stringify(answer.problems)}`;
  }
}
