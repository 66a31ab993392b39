// OTLP's JSON of log records (opentelemetry-proto, logs/v1), and what metrics share with them.
import type { Plain } from "./adapter.ts";
import type { OtlpEntry } from "./otlp.ts";

/** `KeyValue` of OTLP. */
export interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}

type AnyValue =
  | { readonly stringValue: string }
  | { readonly boolValue: boolean }
  | { readonly intValue: string }
  | { readonly doubleValue: number }
  | { readonly kvlistValue: { readonly values: readonly KeyValue[] } };

/** Whom records are of. */
export interface Resource {
  readonly attributes: readonly KeyValue[];
}

export const SCOPE = { name: "vespid" } as const;
/** Severity INFO. */
const INFO = 9;

/** A request of `/v1/logs`. */
export function renderLogs(resource: Resource, entries: readonly OtlpEntry[]): unknown {
  const logRecords = entries.map(({ instance: { name, value, attributes }, atMs, traceId }) => ({
    timeUnixNano: nanosOf(atMs),
    severityNumber: INFO,
    severityText: "INFO",
    eventName: name,
    body: valueOf(value ?? name),
    attributes: attributesOf(attributes),
    ...(traceId === "" ? {} : { traceId }),
  }));
  return { resourceLogs: [{ resource, scopeLogs: [{ scope: SCOPE, logRecords }] }] };
}

/** Attributes by name, as OTLP writes them. */
export function attributesOf(attributes: Readonly<Record<string, Plain>>): readonly KeyValue[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: valueOf(value) }));
}

/** Nanoseconds since the epoch; JSON has no whole numbers so large, so OTLP writes them as text. */
export function nanosOf(ms: number): string {
  return String(BigInt(Math.round(ms * 1000)) * 1000n);
}

function valueOf(value: Plain): AnyValue {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "object") return { kvlistValue: { values: attributesOf(value) } };
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
