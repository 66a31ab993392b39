// What the compiler must refuse. Each expected error is checked by `tsc`: one that is no error fails the build.
import { expect, test } from "bun:test";
import { defineFilter, reply, z } from "./index.ts";

test("a filter says what it reads and writes", () => {
  const filter = defineFilter({
    name: "typed",
    stage: "transform",
    reads: [":method", "x-user", "source.ip", "set-cookie"],
    writes: ["x-seen", ":status"],
    config: z.strictObject({ limit: z.int().default(3) }),
    request(request, { config }) {
      const user: string | null = request.headers.get("x-user");
      const limit: number = config.limit;
      const method: string = request.method;
      const ip: string | undefined = request.attribute("source.ip");
      request.headers.set("x-seen", `${user} ${limit} ${method} ${ip}`);
      // @ts-expect-error -- not one of its reads
      request.headers.get("x-other");
      // @ts-expect-error -- not one of its writes
      request.headers.set("x-user", "1");
      // @ts-expect-error -- not one of its writes
      request.headers.delete("x-other");
      // @ts-expect-error -- `:path` is not one of its reads
      void request.path;
      // @ts-expect-error -- an attribute, but not one of its reads
      request.attribute("route.name");
      // @ts-expect-error -- an attribute is not a header
      request.headers.get("source.ip");
      // @ts-expect-error -- not in its configuration
      void config.other;
      // @ts-expect-error -- requests have no status
      void request.status;
    },
    response(response) {
      response.status = response.status === 200 ? 201 : 500;
      response.headers.append("x-seen", response.headers.getSetCookie().join());
      // @ts-expect-error -- the request is over
      response.request.headers.set("x-seen", "1");
    },
  });
  expect(filter.reads).toEqual([":method", "x-user", "source.ip", "set-cookie", ":status"]);
});

test("a filter without declarations sees and changes nothing", () => {
  defineFilter({
    name: "blind",
    stage: "observe",
    request(request) {
      // @ts-expect-error -- nothing was declared
      request.headers.get("x-user");
      // @ts-expect-error -- nothing was declared
      request.headers.set("x-user", "1");
    },
    response(response) {
      // @ts-expect-error -- neither read nor written
      void response.status;
    },
  });
  expect(reply({ status: 204 })).toEqual({ kind: "reply", status: 204 });
});

test("stages and verdicts are checked", () => {
  // @ts-expect-error -- no such stage
  defineFilter({ name: "late", stage: "later", request: () => undefined });
  // @ts-expect-error -- not a verdict
  defineFilter({ name: "wrong", stage: "authn", request: () => 403 });
  defineFilter({
    name: "fixed",
    stage: "authn",
    reads: [":status"],
    response(response) {
      // @ts-expect-error -- only read, not written
      response.status = 1;
    },
  });
  expect(true).toBe(true);
});
