// Control may go away at any time: traffic does not notice, and what was acknowledged stays.
import { expect, test, setDefaultTimeout } from "bun:test";
import { runWrk } from "../bench/load.ts";
import { startControl } from "../harness/control.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { freePort } from "../harness/ports.ts";
import { startProxy } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

/** A service entry for a host, whose one endpoint is `port`. */
function renderService(name: string, port: number): string {
  return JSON.stringify({
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name },
    spec: {
      hosts: [name],
      location: "MESH_INTERNAL",
      resolution: "STATIC",
      ports: [{ number: 80, name: "http", protocol: "HTTP" }],
      endpoints: [{ address: "127.0.0.1", ports: { http: port } }],
    },
  });
}

test("killing control under load loses no request, and a proxy starts from its last good snapshot without it", async () => {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "from the upstream" });
  await using control = await startControl({ cwd: folder.path });
  await control.apply(renderService("app", upstream.port));
  const options = {
    service: "caller",
    hasOutbound: true,
    control: control.url,
    cwd: folder.path,
    accessLog: folder.file("a.log"),
  };
  {
    await using proxy = await startProxy(options);
    const load = runWrk({
      port: proxy.outboundPort,
      durationMs: 3000,
      connections: 16,
      headers: { Host: "app" },
      folder,
    });
    await until("traffic to flow", async () => {
      const text = await (await fetch(`${proxy.admin}/stats/prometheus`)).text();
      return / [1-9]\d{2,}$/mu.exec(text.match(/^istio_requests_total.*$/mu)?.[0] ?? "") === null ? undefined : true;
    });
    control.program.signal("SIGKILL");
    expect(await control.program.exited).toBe(137);
    const report = await load;
    expect(report.requests).toBeGreaterThan(1000);
    expect(report.failed).toBe(0);
  }
  // Nobody listens at the address of control any more.
  await using again = await startProxy(options);
  const reply = await fetch(`http://127.0.0.1:${again.outboundPort}/`, { headers: { host: "app" } });
  expect(await reply.text()).toBe("from the upstream");
});

test("a proxy that lost control finds it again, and gets what changed meanwhile", async () => {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "found" });
  const port = freePort();
  await using first = await startControl({ cwd: folder.path, port });
  await first.apply(renderService("other", upstream.port));
  await using proxy = await startProxy({ service: "caller", hasOutbound: true, control: first.url, cwd: folder.path });
  const ask = async () =>
    (await fetch(`http://127.0.0.1:${proxy.outboundPort}/`, { headers: { host: "late" } })).status;
  expect(await ask()).toBe(404);
  first.program.signal("SIGKILL");
  await first.program.exited;
  await using second = await startControl({ cwd: folder.path, port }, first.token);
  await second.apply(renderService("late", upstream.port));
  expect(await until("the new service to be routed", async () => ((await ask()) === 200 ? true : undefined))).toBe(
    true,
  );
});

test("kill -9 of control during writes loses no write that was acknowledged", async () => {
  await using folder = await makeTempFolder();
  const acknowledged: string[] = [];
  await using control = await startControl({ cwd: folder.path });
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    for (let index = 0; ; index++) {
      const name = `w${writer}-${index}`;
      try {
        const reply = await control.request(
          "PUT",
          `/v1/resources/ServiceEntry/default/${name}`,
          renderService(name, 80),
        );
        if (!reply.ok) return reply.status;
        await reply.arrayBuffer();
        acknowledged.push(name);
      } catch {
        // Control was killed before it answered: that write may or may not be there.
        return 0;
      }
    }
  });
  await until("writes to be under way", () => (acknowledged.length > 200 ? true : undefined));
  control.program.signal("SIGKILL");
  expect(await Promise.all(writers)).toEqual([0, 0, 0, 0]);
  await using again = await startControl({ cwd: folder.path }, control.token);
  const found = await Promise.all(
    acknowledged.map(async (name) => (await fetch(`${again.url}/v1/resources/ServiceEntry/default/${name}`)).status),
  );
  expect(found.filter((status) => status !== 200)).toEqual([]);
  expect(found.length).toBeGreaterThan(200);
});
