// A test's service behind a real port: the proxy's own codec, with the test in the place of the application.
import { Http1Server, type Front } from "../../runtime/codec/http1-server.ts";
import { Listener } from "../../runtime/contract/listener.ts";
import type { Clock, Service } from "../../runtime/exchange/exchange.ts";
import type { Observer } from "../../runtime/exchange/observer.ts";
import { startListener } from "../../runtime/listener/listener.ts";
import { replyFor } from "../../runtime/reply/rescue.ts";

/** A port of 127.0.0.1 that a service answers. */
export interface ServedPort {
  readonly port: number;
  stop(): void;
}

/** Serves HTTP/1.1 on a port that the system picks. */
export function servePort(service: Service, clock: Clock): ServedPort {
  const { limits, http } = Listener.parse(undefined);
  const front: Front = { service, limits, http, render: replyFor, isDraining: false, clock, observer: NOBODY };
  const listener = startListener({
    hostname: "127.0.0.1",
    port: 0,
    direction: "inbound",
    connectionsMax: () => limits.connectionsMax,
    accept: (seat) => (seat.connection = new Http1Server(seat.transport, seat.downstream, front)),
    opened: () => undefined,
    closed: () => undefined,
  });
  return {
    port: listener.port,
    stop: () => {
      listener.stopAccepting();
      listener.kill();
    },
  };
}

const NOBODY: Observer = {
  exchangeEnded: (exchange) => exchange.onEnd?.(),
  connectionOpened: () => undefined,
  connectionClosed: () => undefined,
  connectionRefused: () => undefined,
  tlsSecured: () => undefined,
  tcpOpened: () => undefined,
  tcpEnded: () => undefined,
  filterRan: () => undefined,
  circuitChanged: () => undefined,
};
