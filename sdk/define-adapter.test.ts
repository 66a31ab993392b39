// What the compiler must refuse of an adapter, and what its handlers get. Each expected error is checked by `tsc`: one that
// is no error fails the build.
import { describe, expect, test } from "bun:test";
import { describeFilter } from "./build/build.ts";
import { allow, defineAdapter, grant, refuse, z } from "./index.ts";

test("an adapter says what it takes of an action, and what it calls", () => {
  const adapter = defineAdapter({
    name: "typed",
    reads: { user: "string", size: "number", admin: "boolean", fields: "map" },
    value: "string",
    config: z.strictObject({ limit: z.int().default(3) }),
    upstreams: ["keeper"],
    setup: () => ({ known: new Set<string>() }),
    check({ attributes, value, name }, { config, state, fetch }) {
      const user: string | undefined = attributes.user;
      const size: number | undefined = attributes.size;
      const admin: boolean | undefined = attributes.admin;
      const agent: string | undefined = attributes.fields?.["user-agent"];
      const told: string | undefined = value;
      // @ts-expect-error -- not one of its reads
      void attributes.other;
      // @ts-expect-error -- a check has no amount
      void attributes.amount;
      // @ts-expect-error -- not in its configuration
      void config.other;
      // @ts-expect-error -- not one of its upstreams
      void (() => fetch("other", "/"));
      const isKnown = state.known.has(user ?? "") && (size ?? 0) < config.limit && admin === true;
      return isKnown ? allow({ validForMs: 1000 }) : refuse({ message: `${name} ${agent} ${told}` });
    },
    quota({ amount, isBestEffort, attributes }) {
      const most: number = isBestEffort ? amount : 1;
      return attributes.admin === true ? grant(amount) : grant(most);
    },
    report(instances) {
      const sizes: readonly (number | undefined)[] = instances.map(({ attributes }) => attributes.size);
      void sizes;
    },
  });
  const manifest = describeFilter(adapter);
  expect(manifest).toMatchObject({
    ok: true,
    value: {
      stage: "ratelimit",
      reads: ["user", "size", "admin", "fields"],
      writes: [],
      phases: ["setup", "check", "quota", "report"],
      instance: {
        value: "string",
        attributes: { user: "string", size: "number", admin: "boolean", fields: "map" },
      },
    },
  });
});

test("a handler must answer what its kind is asked", () => {
  defineAdapter({
    name: "typed",
    // @ts-expect-error -- a check that says nothing might mean either
    check: () => undefined,
    // @ts-expect-error -- a check's answer
    quota: () => allow(),
  });
  defineAdapter({
    name: "typed",
    // @ts-expect-error -- a quota's answer
    check: () => grant(1),
    // @ts-expect-error -- nobody waits for more than that it is done
    report: () => allow(),
  });
  defineAdapter({
    name: "typed",
    // @ts-expect-error -- what it takes no value of has none
    check: ({ value }) => (value.length > 0 ? allow() : refuse()),
  });
  expect(() => grant(-1)).toThrow("grant: -1 is not a whole number of 0 or more");
  expect(() => defineAdapter({ name: "typed", every: { soon: () => undefined }, report: () => undefined })).toThrow(
    /every: "soon"/u,
  );
});

describe("a manifest that is no adapter's is refused", () => {
  test.each([
    [{ reads: { "X User": "string" } as const }, "reads[0]", `"X User" must be lower-case letters`],
    [{ reads: {} }, "request", "is missing: a filter needs a handler"],
  ])("%j", (definition, path, message) => {
    const handlers = "X User" in definition.reads ? { check: () => allow() } : {};
    const described = describeFilter(defineAdapter({ name: "typed", ...definition, ...handlers }));
    expect(described).toMatchObject({ ok: false, problems: [{ path, message: expect.stringContaining(message) }] });
  });

  test("messages and actions are of two components", () => {
    const adapter = defineAdapter({ name: "typed", reads: { user: "string" }, check: () => allow() });
    const described = describeFilter({
      ...adapter,
      writes: ["x-a"],
      instance: { attributes: { other: "string" } },
      handlers: { ...adapter.handlers, request: () => undefined },
    });
    expect(described).toMatchObject({
      ok: false,
      problems: [
        { path: "phases", message: expect.stringContaining("has request beside check, quota or report") },
        { path: "writes", message: "must be empty: an adapter changes no message" },
        { path: "instance.attributes.other", message: "is not one of reads" },
      ],
    });
  });
});
