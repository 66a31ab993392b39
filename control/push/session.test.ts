import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Version } from "../../runtime/contract/snapshot.ts";
import { startSession, stepSession, type Session, type SessionEvent } from "./session.ts";

const v = (name: string) => Version.parse(name);
const problems = [{ path: "clusters[0]", message: "is wrong" }];

/** Steps through events and collects what was sent. */
function run(start: Session, ...events: readonly SessionEvent[]): { session: Session; sent: readonly string[] } {
  const sent: string[] = [];
  let session = start;
  for (const event of events) {
    const step = stepSession(session, event);
    ({ session } = step);
    if (step.send !== undefined) sent.push(step.send);
  }
  return { session, sent };
}

describe("one push is unanswered at a time", () => {
  test("versions published meanwhile merge into the newest", () => {
    const { sent, session } = run(
      startSession(undefined),
      { kind: "published", version: v("a") },
      { kind: "published", version: v("b") },
      { kind: "published", version: v("c") },
      { kind: "acked", version: v("a") },
    );
    expect(sent).toEqual(["a", "c"]);
    expect(session).toMatchObject({ acked: "a", inFlight: "c", waiting: undefined });
  });

  test("an answer about another version than the one in flight changes nothing", () => {
    const before = run(startSession(undefined), { kind: "published", version: v("a") }).session;
    expect(stepSession(before, { kind: "acked", version: v("b") }).session).toEqual(before);
    expect(stepSession(before, { kind: "nacked", version: v("b"), problems }).session).toEqual(before);
  });

  test("a proxy that runs the version already is sent nothing", () => {
    expect(run(startSession(v("a")), { kind: "published", version: v("a") }).sent).toEqual([]);
    expect(run(startSession(v("a")), { kind: "published", version: v("b") }).sent).toEqual(["b"]);
  });
});

describe("a version that was refused", () => {
  const refused = run(
    startSession(v("a")),
    { kind: "published", version: v("b") },
    { kind: "nacked", version: v("b"), problems },
  ).session;

  test("is not sent again by being published again, only when its wait is over", () => {
    expect(refused).toMatchObject({ acked: "a", inFlight: undefined, rejected: { version: "b", attempts: 1 } });
    expect(run(refused, { kind: "published", version: v("b") }).sent).toEqual([]);
    const retried = run(refused, { kind: "retry_due" }, { kind: "nacked", version: v("b"), problems });
    expect(retried.sent).toEqual(["b"]);
    expect(retried.session.rejected).toMatchObject({ version: "b", attempts: 2 });
  });

  test("is forgotten once a newer one is sent, or what runs is wanted again", () => {
    expect(run(refused, { kind: "published", version: v("c") })).toMatchObject({
      sent: ["c"],
      session: { rejected: undefined },
    });
    expect(run(refused, { kind: "published", version: v("a") })).toMatchObject({
      sent: [],
      session: { rejected: undefined },
    });
  });
});

test("a proxy that answers ends on the newest version that it accepts, with one push in flight at a time", () => {
  const version = fc.constantFrom("a", "b", "c", "d").map(v);
  const action = fc.oneof(
    version.map((published) => ({ kind: "published" as const, version: published })),
    fc.constant({ kind: "answer" as const }),
    fc.constant({ kind: "retry_due" as const }),
    version.map((stray) => ({ kind: "stray" as const, version: stray })),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40 }), fc.subarray(["a", "b", "c", "d"]), (actions, bad) => {
      let session = startSession(undefined);
      let unanswered: Version | undefined;
      let newest: Version | undefined;
      const isBad = (candidate: Version) => bad.includes(candidate);
      const step = (event: SessionEvent) => {
        const { session: next, send } = stepSession(session, event);
        session = next;
        if (send === undefined) return;
        expect(unanswered).toBeUndefined();
        unanswered = send;
        // Only the newest is ever sent.
        expect(send).toBe(newest ?? send);
      };
      /** Whether there was something to answer. */
      const answer = () => {
        const answered = unanswered;
        if (answered === undefined) return false;
        unanswered = undefined;
        step(isBad(answered) ? { kind: "nacked", version: answered, problems } : { kind: "acked", version: answered });
        return true;
      };
      for (const { kind, ...rest } of actions) {
        if (kind === "answer") answer();
        else if (kind === "retry_due") step({ kind });
        else if ("version" in rest && kind === "published") {
          newest = rest.version;
          step({ kind, version: rest.version });
        } else if ("version" in rest && rest.version !== unanswered) step({ kind: "acked", version: rest.version });
      }
      while (answer());
      expect(session.inFlight).toBeUndefined();
      expect(session.waiting).toBeUndefined();
      if (newest === undefined) return;
      if (isBad(newest)) expect(session.rejected?.version).toBe(newest);
      else expect(session).toMatchObject({ acked: newest, rejected: undefined });
    }),
    { numRuns: 2000 },
  );
});
