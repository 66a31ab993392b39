// structuredClone (HTML §2.7) of what a filter can hold.

/** A copy that shares nothing with the value; throws `DataCloneError` for functions and symbols. */
export function structuredClone<Value>(value: Value): Value {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- A copy is of the same shape.
  return copy(value, new Map()) as Value;
}

function copy(value: unknown, made: Map<object, unknown>): unknown {
  if (typeof value === "function" || typeof value === "symbol")
    throw new DOMException(`a ${typeof value} cannot be cloned`, "DataCloneError");
  if (typeof value !== "object" || value === null) return value;
  if (made.has(value)) return made.get(value);
  const remember = <Made>(copied: Made): Made => {
    made.set(value, copied);
    return copied;
  };
  if (value instanceof Date) return remember(new Date(value.getTime()));
  if (value instanceof RegExp) return remember(new RegExp(value.source, value.flags));
  if (value instanceof ArrayBuffer) return remember(value.slice(0));
  if (ArrayBuffer.isView(value)) return remember(copyView(value));
  if (value instanceof Map) {
    const copied = remember(new Map<unknown, unknown>());
    for (const [key, each] of value) copied.set(copy(key, made), copy(each, made));
    return copied;
  }
  if (value instanceof Set) {
    const copied = remember(new Set<unknown>());
    for (const each of value) copied.add(copy(each, made));
    return copied;
  }
  if (value instanceof Error) return remember(copyError(value, made));
  if (Array.isArray(value)) {
    const copied = remember<unknown[]>([]);
    for (const each of value) copied.push(copy(each, made));
    return copied;
  }
  const copied = remember<Record<string, unknown>>({});
  for (const [key, each] of Object.entries(value)) copied[key] = copy(each, made);
  return copied;
}

function copyView(view: ArrayBufferView): ArrayBufferView {
  if (view instanceof DataView)
    return new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  const slice: unknown = Reflect.get(view, "slice");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Every typed array has it.
  return Reflect.apply(slice as () => ArrayBufferView, view, []);
}

function copyError(error: Error, made: Map<object, unknown>): Error {
  const copied = new Error(error.message);
  copied.name = error.name;
  if (error.stack !== undefined) copied.stack = error.stack;
  if ("cause" in error) copied.cause = copy(error.cause, made);
  return copied;
}
