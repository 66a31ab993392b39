// The current generation and the ports that serve it: a new one is swapped in between two requests.
import type { Front } from "./codec/http1-server.ts";
import type { Parsed, Problem } from "./contract/problem.ts";
import type { Snapshot, Version } from "./contract/snapshot.ts";
import type { Clock, Direction } from "./exchange/exchange.ts";
import type { Observer } from "./exchange/observer.ts";
import { buildGeneration, type Application, type Generation, type GenerationDeps } from "./generation.ts";
import { Arrival, type Desk } from "./listener/arrival.ts";
import { startListener, type RunningListener } from "./listener/listener.ts";
import { openOriginalDst } from "./listener/original-dst.ts";
import { reasonOf } from "./reason.ts";
import { replyFor } from "./reply/rescue.ts";

/** A port to open. */
export interface Door {
  readonly direction: Direction;
  readonly hostname: string;
  /** `0` lets the system choose. */
  readonly port: number;
  /** A socket that listens there already: one of those that the workers of a proxy share. */
  readonly fd?: number | undefined;
  /** Which of them. */
  readonly row?: number | undefined;
  /** Whom inbound requests are for; outbound and capture ports have none. */
  readonly application: Application | undefined;
  /** iptables redirects connections here: they say where they were going. */
  readonly isCapture?: boolean | undefined;
  /** On `::`: leaves IPv4 to a door of its own. */
  readonly ipv6Only?: boolean | undefined;
}

/** A generation that was built and does not serve yet. Exactly one of its two is called. */
export interface Prepared {
  /** Swaps it in; what the one before holds alone is let go. */
  commit(): void;
  /** Lets go of it. */
  discard(): void;
}

interface OpenDoor {
  readonly door: Door;
  readonly front: Front;
  readonly desk: Desk;
  readonly listener: RunningListener;
  isAccepting: boolean;
}

/** How often connections are looked at while they drain. */
const DRAIN_POLL_MS = 20;
/** What adapters get to send their last where the connections took all of the time. */
const FLUSH_MIN_MS = 500;

/** What one proxy serves. */
export class Serving {
  #generation: Generation | undefined = undefined;
  readonly #deps: GenerationDeps;
  readonly #observer: Observer;
  readonly #clock: Clock;
  readonly #open: OpenDoor[] = [];
  #isDraining = false;

  constructor(deps: GenerationDeps, observer: Observer, clock: Clock) {
    this.#deps = deps;
    this.#observer = observer;
    this.#clock = clock;
  }

  /** `undefined` until the first snapshot was applied. */
  get generation(): Generation | undefined {
    return this.#generation;
  }

  get isReady(): boolean {
    return this.#open.length > 0 && !this.#isDraining;
  }

  get listeners(): readonly RunningListener[] {
    return this.#open.map(({ listener }) => listener);
  }

  /** Builds a whole generation, then swaps it in; with any problem nothing changes. */
  async apply(snapshot: Snapshot, version: Version): Promise<readonly Problem[]> {
    const prepared = await this.prepare(snapshot, version);
    if (!prepared.ok) return prepared.problems;
    prepared.value.commit();
    return [];
  }

  /** Builds a whole generation beside the one that serves. One at a time: it shares what it can with that one. */
  async prepare(snapshot: Snapshot, version: Version): Promise<Parsed<Prepared>> {
    const built = await buildGeneration(snapshot, version, this.#deps, this.#generation);
    if (!built.ok) return built;
    const { value } = built;
    return { ok: true, value: { commit: () => this.#swap(value), discard: () => value.retire() } };
  }

  #swap(next: Generation): void {
    const previous = this.#generation;
    this.#generation = next;
    for (const { door, front, desk } of this.#open) {
      desk.reception = next.reception(door.direction, door.application);
      front.service = serviceFor(next, door);
      front.limits = next.snapshot[door.direction].limits;
      front.http = next.snapshot[door.direction].http;
    }
    previous?.retire();
  }

  /** Opens every port, or says which it cannot. A generation must have been applied. */
  open(doors: readonly Door[]): readonly Problem[] {
    const generation = this.#generation;
    if (generation === undefined) return [{ path: "", message: "no snapshot was applied yet" }];
    return doors.flatMap((door) => {
      try {
        this.#open.push(this.#openDoor(generation, door));
        return [];
      } catch (error) {
        return [
          { path: door.direction, message: `cannot listen on ${door.hostname}:${door.port}: ${reasonOf(error)}` },
        ];
      }
    });
  }

  /** Accepts no more at these doors; what is open there goes on. */
  close(isMeant: (door: Door) => boolean): void {
    for (const open of this.#open) if (open.isAccepting && isMeant(open.door)) stopAccepting(open);
  }

  /** Called a few times a second: closes what has waited too long. */
  sweep(): void {
    const nowMs = this.#clock.monotonic();
    for (const { listener } of this.#open) listener.sweep(nowMs);
    for (const [index, open] of [...this.#open.entries()].toReversed()) {
      if (!open.isAccepting && !this.#isDraining && open.listener.connections.size === 0) this.#open.splice(index, 1);
    }
    for (const { pool } of this.#generation?.targets.values() ?? []) pool.sweep(nowMs);
    this.#deps.originalDestinations.sweep(nowMs);
  }

  /** Accepts no more; replies close their connections. */
  startDraining(): void {
    this.#isDraining = true;
    for (const open of this.#open) {
      open.front.isDraining = true;
      if (open.isAccepting) stopAccepting(open);
    }
  }

  /** Resolves once every connection has finished and adapters have sent what they were told, or `timeMs` is over. */
  async drained(timeMs: number): Promise<void> {
    const deadlineMs = this.#clock.monotonic() + timeMs;
    const isBusy = (): boolean => this.#open.some(({ listener }) => listener.connections.size > 0);
    while (isBusy() && this.#clock.monotonic() < deadlineMs) {
      await Bun.sleep(DRAIN_POLL_MS);
    }
    const { promise: late, resolve: giveUp } = Promise.withResolvers<undefined>();
    const timer = setTimeout(giveUp, Math.max(FLUSH_MIN_MS, deadlineMs - this.#clock.monotonic()));
    await Promise.race([this.#deps.adapters.flush(), late]);
    clearTimeout(timer);
  }

  /** Closes everything now. */
  stop(): void {
    for (const open of this.#open) {
      if (open.isAccepting) stopAccepting(open);
      open.listener.kill();
    }
    this.#generation?.retire();
    this.#deps.originalDestinations.drain();
  }

  #openDoor(generation: Generation, door: Door): OpenDoor {
    const { direction, hostname, port, fd, ipv6Only } = door;
    const observer = this.#observer;
    const front: Front = {
      service: serviceFor(generation, door),
      limits: generation.snapshot[direction].limits,
      http: generation.snapshot[direction].http,
      render: replyFor,
      isDraining: false,
      clock: this.#clock,
      observer,
    };
    const desk: Desk = { front, reception: generation.reception(direction, door.application) };
    const listener = startListener({
      hostname,
      port,
      fd,
      ipv6Only,
      readOriginalDestination: door.isCapture === true ? openOriginalDst() : undefined,
      direction,
      connectionsMax: () => front.limits.connectionsMax,
      accept: (seat) => new Arrival(seat, desk).begin(),
      opened: () => observer.connectionOpened(direction),
      closed: () => observer.connectionClosed(direction),
    });
    return { door, front, desk, listener, isAccepting: true };
  }
}

function stopAccepting(open: OpenDoor): void {
  open.isAccepting = false;
  open.listener.stopAccepting();
}

function serviceFor(generation: Generation, door: Door): Front["service"] {
  if (door.direction === "outbound") return generation.outbound;
  return door.application === undefined ? generation.captured : generation.inbound(door.application.port);
}
