import { describe, expect, test } from "bun:test";
import { parseExpression } from "./expression.ts";

describe("an expression has the type of what it computes", () => {
  test.each([
    [`request.path`, "string"],
    [`request.headers["x-user"] | "nobody"`, "string"],
    [`response.code >= 500 && response.duration > "100ms"`, "bool"],
    [`"100ms" < response.duration`, "bool"],
    ["match(request.path, `/api*`)", "bool"],
    [`"^/v[12]/".matches(request.path)`, "bool"],
    [`request.host.endsWith(".example.com") || connection.mtls`, "bool"],
    [`source.ip == ip("10.0.0.1")`, "bool"],
    [`request.time < timestamp("2030-01-01T00:00:00Z")`, "bool"],
    [`conditional(connection.mtls, source.principal, "none")`, "string"],
    [`request.size + response.size`, "int"],
    [`-1`, "int"],
    [`1.5`, "double"],
    [`source.labels | emptyStringMap()`, "map"],
    [`(source.labels | destination.labels)["app"]`, "string"],
    [`toLower(request.host).startsWith("a")`, "bool"],
    [`size(request.path) > 100`, "bool"],
  ])("%s is of type %s", (text, type) => {
    const parsed = parseExpression(text);
    expect(parsed.ok ? parsed.value.type : parsed.error).toBe(type);
  });
});

describe("what is wrong is told with its column", () => {
  test.each([
    ["", "column 1: it ends where a name is due"],
    ["request.path ==", "column 16: it ends where a name is due"],
    ["request.pth", "column 1: request.pth is not an attribute that is known"],
    ["request.path == 1", "column 17: is of type int where == takes string"],
    ["request.path && true", "column 1: is of type string where && takes bool"],
    ["request.headers == request.headers", "column 1: == takes no map"],
    ["match(request.path)", "column 1: match takes 2 values, has 1"],
    ["frobnicate(1)", "column 1: frobnicate is not a function; these are: match, "],
    ["startsWith(request.path, `a`)", "column 1: is written value.startsWith(…)"],
    ["request.path.match(`a`)", "column 14: is written match(…)"],
    ["request.path.matches(request.host)", "column 1: matches needs its pattern written out"],
    ['"(".matches(request.path)', "column 1: is not a regular expression"],
    ['"(?=a)".matches(request.path)', "column 1: the pattern uses lookaround"],
    ['request.path == "a', "column 17: a string begins here and does not end"],
    ["request.path == 'a'", `column 17: "'" is not part of the language`],
    ["request.size + 99999999999999999999", "column 16: 99999999999999999999 is beyond 2^53"],
    ["(request.path", `column 14: it ends where ")" is due`],
    ["request.path request.path", `column 14: "request" where the end is due`],
    ["true == true == true == ", "column 25: it ends where a name is due"],
    [`${"(".repeat(60)}true${")".repeat(60)}`, "is nested deeper than 50"],
  ])("%s", (text, message) => {
    const parsed = parseExpression(text);
    expect(parsed.ok ? "is taken" : parsed.error).toContain(message);
  });
});

test("an expression is bounded", () => {
  const parsed = parseExpression(`request.path == "${"a".repeat(5000)}"`);
  expect(parsed.ok ? "is taken" : parsed.error).toBe("column 1: is 5018 characters long, limit is 4096");
});
