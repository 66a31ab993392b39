// Snapshots ready to be sent, each made once for all proxies that are to run the same.
import { MESSAGE_MAX_BYTES, type ControlMessage } from "../../runtime/contract/protocol.ts";
import type { Parsed } from "../../runtime/contract/problem.ts";
import { renderCanonical } from "../../runtime/contract/version.ts";
import type { Identity, World } from "../compile/world.ts";
import { buildSnapshot } from "../snapshot/build.ts";
import { checkSnapshot, type NamedSnapshot } from "../snapshot/check.ts";
import type { Publication } from "./gateway.ts";

/** What a proxy should run in the world as it is now. Replicas of a service share one. */
export function publishFrom(world: () => World): (identity: Identity) => Parsed<Publication> {
  let known: World | undefined;
  let publications = new Map<string, Parsed<Publication>>();
  return function publicationFor({ service, namespace, labels }) {
    const current = world();
    if (current !== known) {
      known = current;
      publications = new Map();
    }
    const key = renderCanonical({ service, namespace, labels });
    const publication = publications.get(key) ?? publish(current, { service, namespace, labels });
    publications.set(key, publication);
    return publication;
  };
}

function publish(world: World, identity: Identity): Parsed<Publication> {
  const checked = compile(world, identity);
  if (!checked.ok) return checked;
  const { version, snapshot } = checked.value;
  const push: ControlMessage = { kind: "push", version, snapshot };
  const message = JSON.stringify(push);
  const bytes = Buffer.byteLength(message);
  if (bytes <= MESSAGE_MAX_BYTES) return { ok: true, value: { version, message } };
  return {
    ok: false,
    problems: [{ path: "", message: `the snapshot is ${bytes} bytes, limit is ${MESSAGE_MAX_BYTES}` }],
  };
}

/** A bug in compiling costs the proxies that it concerns this change, and is shown with them; it does not end control. */
function compile(world: World, identity: Identity): Parsed<NamedSnapshot> {
  try {
    return checkSnapshot(buildSnapshot(world, identity));
  } catch (error) {
    return { ok: false, problems: [{ path: "", message: `the snapshot could not be built: ${String(error)}` }] };
  }
}
