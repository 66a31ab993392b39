// Connections in a component: the handlers of each, by the number of the call that began it.
import { renderEdits } from "vespid:engine";
import host from "vespid:filter/host@2.0.0";
import { bytesOf } from "../content.ts";
import { HandledConnection, type Handled } from "../handled-connection.ts";
import { SIDES } from "../wit/world.ts";

const LINE_END = /[\r\n]/gu;

/** Those that are not over. */
export const connections = new Map<number, HandledConnection>();

/** A new one. */
export function addConnection(call: number): HandledConnection {
  const connection = new HandledConnection();
  connections.set(call, connection);
  return connection;
}

/** What a call came to, by the grammar in filter.wit; what goes to either side is emitted. */
export function renderHandled(call: number, { bytes, written, edits, route, ending, watched }: Handled): string {
  for (const side of SIDES) for (const content of written[side]) host.emit(call, side, bytesOf(content));
  if (ending !== undefined) {
    const reason = ending.reason === "" ? "" : ` ${ending.reason.replaceAll(LINE_END, " ")}`;
    return renderEdits(`${ending.kind}${reason}\n`, edits);
  }
  if (bytes === "more") return "more\n";
  let answer = renderEdits(bytes === "pass" ? "pass\n" : "proceed\n", edits);
  if (route !== undefined) answer += `route ${route.replaceAll(LINE_END, " ")}\n`;
  for (const what of watched) answer += `read ${what}\n`;
  return answer;
}
