// Composition: the request path is a list of layers around the stage that sends.
import type { Layer, Service } from "./exchange.ts";

/** `compose([a, b], c)` is `a(b(c))`: requests go down the list, replies come up. Runs once, when configuration is applied. */
export function compose(layers: readonly Layer[], innermost: Service): Service {
  return layers.reduceRight((next, layer) => layer(next), innermost);
}
