// People looking at filters: each look is a tap that every proxy is told of, and what proxies see comes back to who looks. It
// ends with who looks; one that reads too slowly loses events, and hears how many.
import type { Tapped } from "../../runtime/contract/protocol.ts";
import { Tap, TAPS_MAX, type TapEvent } from "../../runtime/contract/tap.ts";
import type { z } from "zod";

/** Takes what is seen. `false`: it has no room, and the event is dropped. */
export interface Looker {
  seen(event: TapEvent, proxy: string): boolean;
  dropped(count: number): void;
}

export interface Taps {
  /** Begins a look; `undefined` where too many look already. What is returned ends it. */
  open(tap: Omit<z.input<typeof Tap>, "id">, looker: Looker): (() => void) | undefined;
  /** Takes what a proxy tells. */
  told(tapped: Omit<Tapped, "kind">, proxy: string): void;
}

/** `changed` is given everything that is to be looked at, whenever that changes. */
export function createTaps(changed: (taps: readonly Tap[]) => void, newId: () => string): Taps {
  const looks = new Map<string, { readonly tap: Tap; readonly looker: Looker }>();
  const tell = (): void => changed([...looks.values()].map(({ tap }) => tap));
  return {
    open(wanted, looker) {
      if (looks.size >= TAPS_MAX) return undefined;
      const tap = Tap.parse({ id: newId(), ...wanted });
      looks.set(tap.id, { tap, looker });
      tell();
      return () => {
        if (looks.delete(tap.id)) tell();
      };
    },
    told({ tap, events, dropped }, proxy) {
      const look = looks.get(tap);
      if (look === undefined) return;
      let lost = dropped;
      for (const event of events) if (!look.looker.seen(event, proxy)) lost++;
      if (lost > 0) look.looker.dropped(lost);
    },
  };
}
