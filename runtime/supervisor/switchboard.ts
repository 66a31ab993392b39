// Where workers call in: a socket in the abstract namespace, so that nothing is left on disk, and a worker finds the next
// version of its supervisor under the same name. Others on this machine may call too, and are hung up on before they are read:
// the kernel says which process calls.
import { Channel } from "./channel.ts";
import { peerPid } from "./libc.ts";
import type { Member } from "./member.ts";
import { Report } from "./messages.ts";

/** From the connection to the hello. */
const HELLO_WITHIN_MS = 5000;
/** Callers at once that have not said hello; one more is hung up on. */
const STRANGERS_MAX = 512;

export interface SwitchboardOptions {
  readonly name: string;
  readonly token: string;
  /** The worker that is this process. */
  readonly find: (pid: number) => Member | undefined;
  readonly greeted: (member: Member, hello: Extract<Report, { kind: "hello" }>) => void;
  readonly heard: (member: Member, report: Report) => void;
}

interface Call {
  channel: Channel | undefined;
  member: Member | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Opens it. Returns what closes it. Throws with the system's code where the name is taken. */
export function openSwitchboard(options: SwitchboardOptions): () => void {
  let strangers = 0;

  function take(call: Call, message: unknown): void {
    const report = Report.safeParse(message);
    if (!report.success) return;
    const { data } = report;
    if (call.member !== undefined) return options.heard(call.member, data);
    const member = data.kind === "hello" && data.token === options.token ? options.find(data.pid) : undefined;
    if (data.kind !== "hello" || member === undefined || call.channel === undefined) return call.channel?.close();
    settle(call);
    call.member = member;
    member.connect(call.channel);
    options.greeted(member, data);
  }
  function settle(call: Call): void {
    if (call.timer === undefined) return;
    clearTimeout(call.timer);
    call.timer = undefined;
    strangers--;
  }

  const server = Bun.listen<Call>({
    unix: `\0${options.name}`,
    socket: {
      binaryType: "buffer",
      open(socket: Bun.Socket<Call> & { readonly fd?: number }) {
        const call: Call = { channel: undefined, member: undefined, timer: undefined };
        socket.data = call;
        // Bun does not document that its sockets have a descriptor.
        const isOurs = options.find(peerPid(socket.fd ?? -1)) !== undefined;
        if (!isOurs || strangers >= STRANGERS_MAX) {
          socket.terminate();
          return;
        }
        strangers++;
        call.timer = setTimeout(() => socket.terminate(), HELLO_WITHIN_MS);
        call.channel = new Channel(socket, (message) => take(call, message));
      },
      data: (socket, chunk) => socket.data.channel?.received(chunk),
      drain: (socket) => socket.data.channel?.drained(),
      close({ data: call }) {
        settle(call);
        call.channel?.closed();
        if (call.channel !== undefined) call.member?.disconnect(call.channel);
      },
    },
  });
  return () => server.stop(true);
}
