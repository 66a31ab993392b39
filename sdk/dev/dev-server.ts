// `filter dev`: an author's filter in a local proxy, again each time that it is saved. What has errors never replaces what
// works: the last good version serves on.
import { resolve } from "node:path";
import { parseWith, type Parsed, type Problem } from "../../runtime/contract/problem.ts";
import { FilterUse } from "../../runtime/contract/filter.ts";
import type { Digest, Manifest } from "../../runtime/contract/bundle.ts";
import { buildFilterFile } from "../build/build.ts";
import { checkTypes } from "../build/check-types.ts";
import { deriveBundle } from "../build/derive.ts";
import { explainFailure, guestPlaces, type NamePlace } from "../build/failure-text.ts";
import { parseArtifact } from "../build/artifact.ts";
import { parseSourceMap } from "../build/source-map.ts";
import { startLocalProxy, type LocalProxy } from "../testing/local-proxy.ts";
import { servePort, type ServedPort } from "../testing/served.ts";
import { Changes } from "./changes.ts";
import { echo } from "./echo.ts";
import { SourceLoader } from "./source-loader.ts";
import type { Config } from "./settings.ts";
import { Stories, type Story, type StoryLine } from "./story.ts";

export interface DevOptions {
  /** The filter's file. */
  readonly path: string;
  /** `0` lets the system choose. */
  readonly port: number;
  /** The service behind the filter; `undefined` for one that echoes. */
  readonly service: URL | undefined;
  /** Where the filter's own upstreams are; those that are not here echo. */
  readonly upstreams: ReadonlyMap<string, URL>;
  /** The real engine, and not the source. */
  readonly isSandboxed: boolean;
  readonly checksTypes: boolean;
  /** Read again with each version. */
  readonly config: () => Promise<Parsed<Config>>;
  /** Files of the configuration, watched too. */
  readonly configFiles: readonly string[];
}

/** What happens, for whoever shows it. */
export interface DevEvents {
  /** A version serves, so many milliseconds after its file was saved; `file` is what changed, empty for the first. */
  serves(version: {
    readonly port: number;
    readonly file: string;
    readonly tookMs: number;
    readonly steps: readonly string[];
  }): void;
  /** A version has problems; what served before serves on. */
  refused(problems: readonly Problem[]): void;
  /** Problems of types, which do not keep a version from serving. */
  mistyped(problems: readonly Problem[]): void;
  answered(story: Story): void;
  wrote(line: StoryLine): void;
}

const LINES_WAIT_MS = 50;

/** A version that can serve. */
interface Version {
  readonly manifest: Manifest;
  readonly source: FilterUse["source"];
  readonly places: NamePlace;
  readonly inputs: readonly string[];
  /** What it took, in words. */
  readonly steps: readonly string[];
}

export class DevServer {
  readonly stories: Stories;
  readonly #options: DevOptions;
  readonly #events: DevEvents;
  readonly #proxy: LocalProxy;
  readonly #loader: SourceLoader;
  readonly #changes: Changes;
  readonly #served = new Map<string, ServedPort>();
  #places: NamePlace = () => undefined;
  #files: readonly Digest[] = [];
  #versions = 0;
  #checks = 0;
  #reloading: Promise<void> = Promise.resolve();

  static async start(options: DevOptions, events: DevEvents): Promise<DevServer> {
    const loader = await SourceLoader.open(options.path);
    const stories = new Stories((story) => events.answered(story));
    const write = (level: StoryLine["level"]) => (given: Readonly<Record<string, unknown>>, message: string) => {
      const { filter, ...fields } = given;
      // What the proxy says of failures is in the request's story.
      if (filter === undefined || (level === "warn" && message === "a filter failed")) return;
      stories.line({ level, message, fields });
      // What no call has taken up by then was written by a timer, or while the filter was set up.
      setTimeout(() => stories.takeLines().forEach((line) => events.wrote(line)), LINES_WAIT_MS);
    };
    let server: DevServer | undefined;
    const proxy = await startLocalProxy({
      host: "127.0.0.1",
      port: options.port,
      clock: { now: () => Date.now(), monotonic: () => performance.now() },
      log: { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") },
      witness: (seen) => stories.step(seen, (message) => explainFailure(message, server?.placeOf ?? (() => undefined))),
      ended: (exchange, nowMonoMs) => stories.ended(exchange, nowMonoMs),
    });
    server = new DevServer(options, events, { proxy, loader, stories });
    await server.#reload("", performance.now());
    return server;
  }

  private constructor(
    options: DevOptions,
    events: DevEvents,
    { proxy, loader, stories }: { proxy: LocalProxy; loader: SourceLoader; stories: Stories },
  ) {
    this.#options = options;
    this.#events = events;
    this.#proxy = proxy;
    this.#loader = loader;
    this.stories = stories;
    this.#changes = new Changes((file, noticedAtMs) => {
      this.#reloading = this.#reloading.then(() => this.#reload(file, noticedAtMs));
    });
    this.#changes.watch([resolve(options.path), ...options.configFiles.map((file) => resolve(file))]);
  }

  /** Names places in failures of the version that serves. */
  get placeOf(): NamePlace {
    return this.#places;
  }

  async stop(): Promise<void> {
    this.#changes.stop();
    await this.#reloading;
    this.#proxy.stop();
    for (const served of this.#served.values()) served.stop();
    await this.#loader.stop();
  }

  async #reload(file: string, noticedAtMs: number): Promise<void> {
    const version = this.#options.isSandboxed ? await this.#build() : await this.#load();
    void this.#checkTypes();
    if (!version.ok) return this.#events.refused(version.problems);
    const { places, inputs, steps } = version.value;
    this.#changes.watch(inputs);
    const config = await this.#options.config();
    if (!config.ok) return this.#events.refused(config.problems);
    const problems = await this.#apply(version.value, config.value);
    if (problems.length > 0) return this.#events.refused(problems);
    this.#places = places;
    this.#events.serves({ port: this.#proxy.port, file, tookMs: performance.now() - noticedAtMs, steps });
    return undefined;
  }

  async #load(): Promise<Parsed<Version>> {
    const loaded = await this.#loader.load();
    if (!loaded.ok) return loaded;
    const { filter, manifest, places, inputs } = loaded.value;
    // A use of the same name would be taken for the one that runs.
    const name = `${filter.name}#${++this.#versions}`;
    this.#proxy.builtins.clear();
    this.#proxy.builtins.set(name, filter);
    return { ok: true, value: { manifest, source: { kind: "builtin", name }, places, inputs, steps: [] } };
  }

  async #build(): Promise<Parsed<Version>> {
    const startedMs = performance.now();
    const built = await buildFilterFile(this.#options.path);
    if (!built.ok) return built;
    const builtMs = performance.now();
    const derived = await deriveBundle(built.value.artifact);
    if (!derived.ok) return derived;
    const { ref, files } = derived.value;
    for (const digest of this.#files) if (!files.has(digest)) this.#proxy.files.delete(digest);
    this.#files = [...files.keys()];
    for (const [digest, bytes] of files) this.#proxy.files.set(digest, bytes);
    const parsed = parseArtifact(built.value.artifact);
    const places = guestPlaces(parsed.ok ? parseSourceMap(parsed.value.sourceMap) : undefined);
    const steps = [
      `built in ${Math.round(builtMs - startedMs)} ms`,
      `derived in ${Math.round(performance.now() - builtMs)} ms`,
    ];
    const { manifest } = built.value;
    return { ok: true, value: { manifest, source: { kind: "bundle", bundle: ref }, places, inputs: [], steps } };
  }

  async #apply({ manifest, source }: Version, config: Config): Promise<readonly Problem[]> {
    const { service, upstreams } = this.#options;
    const isFree = manifest.upstreams.includes("*");
    const unknown = [...upstreams.keys()].find((name) => !isFree && !manifest.upstreams.includes(name));
    if (unknown !== undefined)
      return [
        {
          path: "--upstream",
          message: `${unknown} is not an upstream of the filter, which has ${manifest.upstreams.join(", ") || "none"}`,
        },
      ];
    const names = new Set([...manifest.upstreams, ...upstreams.keys()].filter((name) => name !== "*"));
    const named = [...names].map((name) => [name, upstreams.get(name)] as const);
    const use = parseWith(FilterUse, {
      name: manifest.name,
      source,
      stage: manifest.stage,
      config,
      upstreams: Object.fromEntries(
        named.map(([name, url]) => [name, { cluster: `upstream ${name}`, authority: url?.host ?? name }]),
      ),
    });
    if (!use.ok) return use.problems;
    const destinations = [{ cluster: "service" }];
    const problems = await this.#proxy.apply({
      service: "dev",
      inbound: {
        virtualHosts: [
          { name: "dev", domains: ["*"], routes: [{ name: "dev", destinations, authorityRewrite: service?.host }] },
        ],
        // What is not HTTP goes there too.
        tcpRoutes: [{ name: "dev", destinations }],
        filters: [use.value],
      },
      clusters: [
        this.#clusterOf("service", service),
        ...named.map(([name, url]) => this.#clusterOf(`upstream ${name}`, url)),
      ],
    });
    return problems.map(({ path, message }) => ({ path: path.replace(/^inbound\.filters\[0\]\.?/u, ""), message }));
  }

  #clusterOf(name: string, url: URL | undefined): unknown {
    if (url === undefined) {
      const clock = { now: () => Date.now(), monotonic: () => performance.now() };
      const served = this.#served.get(name) ?? servePort(echo, clock);
      this.#served.set(name, served);
      return { name, service: name, endpoints: [{ address: "127.0.0.1", port: served.port }] };
    }
    const isSecure = url.protocol === "https:";
    const address = url.hostname.replace(/^\[|\]$/gu, "");
    const port = Number(url.port) || (isSecure ? 443 : 80);
    const tls = isSecure ? { tls: { mode: "SIMPLE", sni: address } } : {};
    return { name, service: url.host, endpoints: [{ address, port }], ...tls };
  }

  /** In the background: it takes longer than a version to serve. */
  async #checkTypes(): Promise<void> {
    if (!this.#options.checksTypes) return;
    const check = ++this.#checks;
    const problems = await checkTypes(this.#options.path);
    // Saved again meanwhile: the next check tells.
    if (check === this.#checks && problems.length > 0) this.#events.mistyped(problems);
  }
}
