// Addresses as the kernel takes them, and ports that are shared on purpose only.
import { describe, expect, test } from "bun:test";
import { closePorts, openPort, packAddress } from "./sockets.ts";

describe("an address is packed as the kernel takes it", () => {
  test.each([
    ["127.0.0.1", "02001f90 7f000001 0000000000000000"],
    ["::", "0a001f90 00000000 0000 0000 0000 0000 0000 0000 0000 0000 00000000"],
    ["::1", "0a001f90 00000000 0000 0000 0000 0000 0000 0000 0000 0001 00000000"],
    ["2001:db8::5:0:6", "0a001f90 00000000 2001 0db8 0000 0000 0000 0005 0000 0006 00000000"],
    ["::ffff:10.1.2.3", "0a001f90 00000000 0000 0000 0000 0000 0000 ffff 0a01 0203 00000000"],
  ])("%s", (ip, hex) => {
    expect(packAddress(ip, 8080).toString("hex")).toBe(hex.replaceAll(" ", ""));
  });
});

test("rows share a port that the system chose; another port of ours does not", async () => {
  const port = await openPort({ hostname: "127.0.0.1", port: 0 }, 3);
  expect(port.fds).toHaveLength(3);
  // They listen when a worker accepts.
  // Bun does not document that it takes one.
  const fd = { fd: port.fds[0] ?? -1 };
  const listener = Bun.listen({
    ...fd,
    hostname: "",
    port: 0,
    socket: { data: () => undefined },
  });
  const second = openPort({ hostname: "127.0.0.1", port: port.port }, 2);
  const reason = await second.catch((error: unknown) => error);
  expect(reason).toMatchObject({ code: "EADDRINUSE" });
  listener.stop(true);
  port.fds.shift();
  closePorts([port]);
});
