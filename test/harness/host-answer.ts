// Answers of host functions, taken apart for a test.
import type { HostAnswer } from "../../runtime/host/answer.ts";

/** The value, or an exception with the error. */
export function valueOf<Value>({ result }: HostAnswer<Value>): Value {
  if (result.ok) return result.value;
  throw new Error(result.error);
}

/** The error, or an exception with the value. */
export function errorOf({ result }: HostAnswer<unknown>): string {
  if (!result.ok) return result.error;
  throw new Error(`expected an error, answered ${String(result.value)}`);
}
