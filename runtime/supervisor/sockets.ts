// The sockets that workers accept from. The supervisor binds one for each port and worker, all to the same address by
// SO_REUSEPORT, and never accepts: the kernel spreads new connections over them, and a connection that waits in the queue of
// a worker that died is still there for the one that takes its place, or for a new version of the program. A socket starts to
// listen when a worker first accepts from it, so that nothing is let in before there is a snapshot.
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { bindSocket, closeFd, openSocket, setSocketOption, socketName } from "./libc.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2_000_000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
/** Where to listen. */
export interface Address {
  readonly hostname: string;
  /** `0` lets the system choose. */
  readonly port: number;
  /** On `::`: leaves IPv4 to others. */
  readonly ipv6Only?: boolean | undefined;
}

/** One port with a socket for each row. */
export interface OpenPort {
  readonly hostname: string;
  /** As asked for; `0` let the system choose. */
  readonly asked: number;
  /** As bound. */
  readonly port: number;
  /** A descriptor for each row; the supervisor holds them open. */
  readonly fds: number[];
}

/**
 * Binds as many sockets to one address as there are to be rows; `open` has some already. Throws with the
 * system's code (`EADDRINUSE`) where it cannot; then nothing of it stays.
 */
export async function openPort(address: Address, rows: number, open?: OpenPort): Promise<OpenPort> {
  const ip = await resolve(address.hostname);
  const before = open?.fds ?? [];
  const fds = [...before];
  let { port } = open ?? address;
  try {
    while (fds.length < rows) {
      const fd = openSocket(isIP(ip) === 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
      fds.push(fd);
      port = bindShared(fd, ip, port, { isFirst: fds.length === 1, ipv6Only: address.ipv6Only === true });
    }
  } catch (error) {
    for (const fd of fds.slice(before.length)) closeFd(fd);
    throw error;
  }
  return { hostname: address.hostname, asked: address.port, port, fds };
}

/**
 * The first socket of a port takes the address for itself and shares it only then: an address that another program of this
 * user shares too is in use, and not silently shared with it.
 */
function bindShared(
  fd: number,
  ip: string,
  port: number,
  { isFirst, ipv6Only }: { readonly isFirst: boolean; readonly ipv6Only: boolean },
): number {
  setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (isIP(ip) === 6) setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, ipv6Only ? 1 : 0);
  if (!isFirst) setSocketOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  bindSocket(fd, packAddress(ip, port));
  if (isFirst) setSocketOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  return socketName(fd).readUInt16BE(2);
}

async function resolve(hostname: string): Promise<string> {
  return isIP(hostname) === 0 ? (await lookup(hostname)).address : hostname;
}

/** A `sockaddr_in` or `sockaddr_in6`: family in the machine's order (little-endian on all that Bun runs on), port in the network's. */
export function packAddress(ip: string, port: number): Buffer {
  if (isIP(ip) === 4) {
    const packed = Buffer.alloc(16);
    packed.writeUInt16LE(AF_INET, 0);
    packed.writeUInt16BE(port, 2);
    packed.set(ip.split(".").map(Number), 4);
    return packed;
  }
  const packed = Buffer.alloc(28);
  packed.writeUInt16LE(AF_INET6, 0);
  packed.writeUInt16BE(port, 2);
  readGroups(ip).forEach((group, index) => packed.writeUInt16BE(group, 8 + 2 * index));
  return packed;
}

/** The eight groups of an IPv6 address, by the URL parser's canonical form of it (RFC 5952, no dotted tail). */
function readGroups(ip: string): readonly number[] {
  const canonical = new URL(`http://[${ip}]/`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const before = splitGroups(head);
  if (tail === undefined) return before;
  const after = splitGroups(tail);
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
}

function splitGroups(text: string): readonly number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

/** Lets go of every socket that is held; workers that hold theirs go on. */
export function closePorts(ports: readonly OpenPort[]): void {
  for (const port of ports) for (const fd of port.fds.splice(0)) closeFd(fd);
}
