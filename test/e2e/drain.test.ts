// A proxy that is told to end finishes what it began: every request that it took is answered, whole.
import { expect, test, setDefaultTimeout } from "bun:test";
import { connect } from "node:net";
import { BusyClient } from "../harness/busy-client.ts";
import { startProxy } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const REPLY_BYTES = 50_000;

test("an exchange that is under way at SIGTERM is finished, and then the proxy ends with 0", async () => {
  const { promise: mayAnswer, resolve: letAnswer } = Promise.withResolvers<void>();
  let isAsked = false;
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async () => {
      isAsked = true;
      await mayAnswer;
      return new Response("x".repeat(REPLY_BYTES));
    },
  });
  try {
    await using folder = await makeTempFolder();
    await using proxy = await startProxy({ service: "drain", applicationPort: upstream.port ?? 0, cwd: folder.path });
    const reply = fetch(`http://127.0.0.1:${proxy.inboundPort}/work`);
    await until("the request to reach the upstream", () => (isAsked ? true : undefined));
    proxy.program.signal("SIGTERM");
    await until("new connections to be refused", () => isRefused(proxy.inboundPort));
    letAnswer();
    expect(await (await reply).text()).toHaveLength(REPLY_BYTES);
    expect(await proxy.program.exited).toBe(0);
  } finally {
    await upstream.stop(true);
  }
});

test("SIGTERM under load loses no request, on any of 32 busy connections", async () => {
  const upstream = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("x".repeat(REPLY_BYTES)) });
  try {
    await using folder = await makeTempFolder();
    await using proxy = await startProxy({ service: "drain", applicationPort: upstream.port ?? 0, cwd: folder.path });
    const clients = Array.from({ length: 32 }, () => new BusyClient(proxy.inboundPort, "/work", REPLY_BYTES));
    await until("every connection to be busy", () =>
      clients.every(({ answered }) => answered > 5) ? true : undefined,
    );
    proxy.program.signal("SIGTERM");
    await Promise.all(clients.map(({ ended }) => ended));
    // Each was told that its connection ends by the reply before, so none sent a request for nothing.
    expect(clients.map(({ isLost }) => isLost)).not.toContain(true);
    expect(clients.map(({ wasTold }) => wasTold)).not.toContain(false);
    expect(await proxy.program.exited).toBe(0);
  } finally {
    await upstream.stop(true);
  }
});

function isRefused(port: number): Promise<true | undefined> {
  const { promise, resolve } = Promise.withResolvers<true | undefined>();
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("connect", () => {
    socket.destroy();
    resolve(undefined);
  });
  socket.on("error", () => resolve(true));
  return promise;
}
