import { expect, test } from "bun:test";
import { encodeGrpcMessage, grpcStatusOf, isGrpcType, parseGrpcTimeoutMs } from "./status.ts";

test.each([
  ["application/grpc", true],
  ["application/grpc+proto", true],
  ["Application/GRPC;charset=utf-8", true],
  ["application/grpc-web", false],
  ["application/grpcx", false],
  ["text/plain", false],
  [undefined, false],
])("%p is gRPC: %p", (type, expected) => expect(isGrpcType(type)).toBe(expected));

test.each([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [429, 14],
  [503, 14],
  [504, 14],
  [500, 2],
  [302, 2],
])("HTTP %d is gRPC status %d", (http, grpc) => expect(grpcStatusOf(http)).toBe(grpc));

test("a message is percent-encoded UTF-8, as Envoy's is", () => {
  expect(encodeGrpcMessage("no é % way\n")).toBe("no %C3%A9 %25 way%0A");
});

test.each([
  ["300m", 300],
  ["1S", 1000],
  ["2M", 120_000],
  ["1H", 3_600_000],
  ["1500u", 2],
  ["1n", 1],
  ["0m", 1],
  ["99999999H", 359_999_996_400_000],
  ["100000000m", undefined],
  ["1.5S", undefined],
  ["10", undefined],
  ["-1S", undefined],
  ["", undefined],
])("grpc-timeout %p is %p ms", (text, expected) => expect(parseGrpcTimeoutMs(text)).toBe(expected));
