// Composition: the request path is a list of layers around the stage that sends.
import type { Layer, Service } from "./exchange.ts";

/** `compose([a, b], c)` is `a(b(c))`: requests go down the list, replies come up. Runs once, when configuration is applied. */
export function compose(layers: readonly Layer[], innermost: Service): Service {
  return layers.reduceRight((next, layer) => layer(next), innermost);
}

/** Applies `then` now where the value is here, later where it is a promise. */
export function whenReady<A, B>(value: A | Promise<A>, then: (value: A) => B | Promise<B>): B | Promise<B> {
  return value instanceof Promise ? value.then(then) : then(value);
}
