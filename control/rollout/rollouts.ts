// Filters' versions at work: changes of them, what proxies tell of trials, and the end of those that pass a bound.
import { parseWith } from "../../runtime/contract/problem.ts";
import type { Difference, TrialReport } from "../../runtime/contract/trial.ts";
import { documentOf, type Denial, type Desired, type Outcome } from "../api/desired.ts";
import { trialOf } from "../compile/filters.ts";
import { parseResource, renderKey, RESOURCES, type Filter, type ResourceKey } from "../resource/resource.ts";
import type { Result } from "../store/result.ts";
import type { Document, Store } from "../store/store.ts";
import { candidateName, CAUSE, liveVersions, withoutCandidate, type LiveVersion } from "./change.ts";
import { startTrial, stepTrial, type TrialState } from "./trial.ts";

/** Differences kept of one filter, the newest. */
const DIFFERENCES_KEPT = 500;
/** Revisions that are looked at for versions. */
const REVISIONS_MAX = 500;

/** A difference and the proxy that saw it. */
export interface ToldDifference extends Difference {
  readonly proxy: string;
}

/** A filter's versions, as they are told to people. */
export interface FilterVersions {
  readonly document: Document;
  readonly history: readonly LiveVersion[];
  /** Its candidate, where it has one. */
  readonly candidate: { readonly name: string; readonly spec: NonNullable<Filter["spec"]["candidate"]> } | undefined;
  /** What proxies told of it. */
  readonly trial: TrialState | undefined;
  /** Why the resource is as it is. */
  readonly cause: string | undefined;
}

/** Why nothing was changed. */
export type Refused =
  | Denial
  | { readonly kind: "missing" }
  /** It cannot be done now. */
  | { readonly kind: "impossible"; readonly reason: string };

export interface Rollouts {
  /** Takes what a proxy tells of trials. */
  told(trials: readonly TrialReport[], proxy: string): void;
  /** Changes a filter's document; one that somebody else changes meanwhile is refused. */
  change(
    key: ResourceKey,
    make: (document: Document, history: readonly LiveVersion[]) => Result<Document, string>,
  ): Result<Outcome, Refused>;
  /** `undefined` where there is no such filter. */
  versions(key: ResourceKey): FilterVersions | undefined;
  /** The newest first. */
  differences(key: ResourceKey): readonly ToldDifference[];
}

export interface RolloutsOptions {
  readonly store: Store;
  readonly desired: Desired;
  readonly log: { warn(fields: object, message: string): void };
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
}

interface Trial {
  state: TrialState;
  differences: readonly ToldDifference[];
  /** A rollback was refused: it is not tried again with every report. */
  isGivenUp: boolean;
}

export function createRollouts({ store, desired, log, now }: RolloutsOptions): Rollouts {
  /** By the filter's key; differences stay until the next trial. */
  const trials = new Map<string, Trial>();

  function find(name: string): Filter | undefined {
    return desired.world().filters.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === name);
  }

  function trialFor(filter: Filter): Trial | undefined {
    const wanted = trialOf(filter);
    const key = `${filter.metadata.namespace}/${filter.metadata.name}`;
    const known = trials.get(key);
    if (wanted === undefined || known?.state.trial === wanted) return wanted === undefined ? undefined : known;
    const fresh = { state: startTrial(wanted), differences: [], isGivenUp: false };
    trials.set(key, fresh);
    return fresh;
  }

  function take(report: TrialReport, proxy: string): void {
    const filter = find(report.filter);
    const trial = filter === undefined ? undefined : trialFor(filter);
    const bounds = filter?.spec.candidate?.rollback;
    if (trial === undefined || bounds === undefined || report.trial !== trial.state.trial) return;
    const { state, rollBack } = stepTrial(trial.state, report, { proxy, atMs: now(), bounds });
    trial.state = state;
    const told = report.differences.map((difference) => Object.assign({ proxy }, difference));
    trial.differences = [...trial.differences, ...told].slice(-DIFFERENCES_KEPT);
    if (rollBack !== undefined && !trial.isGivenUp) endTrial(report.filter, trial, rollBack);
  }

  function endTrial(name: string, trial: Trial, reason: string): void {
    const [namespace = "", ...rest] = name.split("/");
    const key: ResourceKey = { kind: "Filter", namespace, name: rest.join("/") };
    const changed = change(key, (document) => {
      const cause = `rolled back ${candidateName(document) ?? ""} by itself: ${reason}`;
      return { ok: true, value: withoutCandidate(document, cause) };
    });
    if (!changed.ok) trial.isGivenUp = true;
    if (changed.ok) log.warn({ resource: renderKey(key), reason }, "a candidate was rolled back");
    else log.warn({ resource: renderKey(key), reason, refused: changed.error }, "a candidate cannot be rolled back");
  }

  function change(key: ResourceKey, make: Parameters<Rollouts["change"]>[1]): Result<Outcome, Refused> {
    const stored = store.get(key);
    if (stored === undefined) return { ok: false, error: { kind: "missing" } };
    const made = make(stored.document, historyOf(key));
    if (!made.ok) return { ok: false, error: { kind: "impossible", reason: made.error } };
    const { metadata } = made.value;
    const document = { ...made.value, metadata: { ...metadata, resourceVersion: String(stored.revision) } };
    const parsed = parseResource(document);
    if (!parsed.ok) return { ok: false, error: { kind: "invalid", problems: parsed.problems } };
    const wanted = {
      kind: "put" as const,
      at: "",
      resource: parsed.value,
      document: documentOf(parsed.value, document),
    };
    const changed = desired.change([wanted], "commit");
    // A candidate that goes and comes again is tried again: what was counted before would end it at once.
    const trial = trials.get(`${key.namespace}/${key.name}`);
    if (changed.ok && trial !== undefined && candidateName(document) === undefined) {
      trial.state = startTrial(trial.state.trial);
      trial.isGivenUp = false;
    }
    return changed;
  }

  function historyOf(key: ResourceKey): readonly LiveVersion[] {
    return liveVersions(store.history({ key, countMax: REVISIONS_MAX }));
  }

  return {
    told(reports, proxy) {
      for (const report of reports) take(report, proxy);
    },
    change,
    versions(key) {
      const stored = store.get(key);
      const parsed = stored && parseWith(RESOURCES.Filter, stored.document);
      if (stored === undefined || parsed?.ok !== true) return undefined;
      const { document } = stored;
      const { candidate } = parsed.value.spec;
      const name = candidateName(document);
      return {
        document,
        history: historyOf(key),
        candidate: candidate === undefined || name === undefined ? undefined : { name, spec: candidate },
        trial: trialFor(parsed.value)?.state,
        cause: document.metadata.annotations?.[CAUSE],
      };
    },
    differences: ({ namespace, name }) => trials.get(`${namespace}/${name}`)?.differences.toReversed() ?? [],
  };
}
