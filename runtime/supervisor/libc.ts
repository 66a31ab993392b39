// The few system calls that workers need and Bun does not offer. Linux only; nothing here is on the path of a request.
import { dlopen, ptr, read } from "bun:ffi";
import { constants } from "node:os";
import { getSystemErrorName } from "node:util";

const F_DUPFD_CLOEXEC = 1030;
const F_SETFD = 2;
const MFD_CLOEXEC = 1;
const PR_SET_PDEATHSIG = 1;
const WNOHANG = 1;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const INTERRUPTED = "EINTR";

/** glibc's and musl's names of the C library. */
const LIBRARIES: readonly string[] = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];

/** A system call that failed; `code` is the system's: `EADDRINUSE`. */
export class SystemError extends Error {
  readonly code: string;

  constructor(call: string, code: string) {
    super(`${call}: ${code}`);
    this.code = code;
  }
}

type Libc = ReturnType<typeof load>;
let loaded: Libc | undefined;

/** Loaded by the first use: a proxy of one process never does. */
function libc(): Libc {
  loaded ??= load();
  return loaded;
}

function load() {
  for (const [index, name] of LIBRARIES.entries()) {
    try {
      return open(name);
    } catch (error) {
      if (index === LIBRARIES.length - 1) throw error;
    }
  }
  throw new Error("no C library is named");
}

function open(name: string) {
  return dlopen(name, {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
    getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
    close: { args: ["i32"], returns: "i32" },
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
    waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
    memfd_create: { args: ["ptr", "u32"], returns: "i32" },
    execve: { args: ["ptr", "ptr", "ptr"], returns: "i32" },
    __errno_location: { args: [], returns: "ptr" },
  }).symbols;
}

function failed(call: string): SystemError {
  // oxlint-disable-next-line no-underscore-dangle -- the C library's name for it
  const location = libc().__errno_location();
  const errno = location === null ? 0 : read.i32(location, 0);
  return new SystemError(call, errno === 0 ? "EUNKNOWN" : getSystemErrorName(-errno));
}

function checked(call: string, answer: number): number {
  if (answer < 0) throw failed(call);
  return answer;
}

/** A new socket. Throws. */
export function openSocket(domain: number, type: number): number {
  return checked("socket", libc().socket(domain, type, 0));
}

/** Throws with the system's code: `EADDRINUSE`, `EACCES`. */
export function bindSocket(fd: number, address: Uint8Array): void {
  checked("bind", libc().bind(fd, ptr(address), address.length));
}

export function setSocketOption(fd: number, level: number, option: number, value: number): void {
  checked("setsockopt", libc().setsockopt(fd, level, option, ptr(new Int32Array([value])), 4));
}

/** The address that a socket is bound to, as the kernel lays it out. */
export function socketName(fd: number): Buffer {
  const address = Buffer.alloc(28);
  checked("getsockname", libc().getsockname(fd, ptr(address), ptr(new Uint32Array([address.length]))));
  return address;
}

/** The process at the other end of a local socket, as the kernel knows it: who connected, or who listened. */
export function peerPid(fd: number): number {
  const credentials = new Int32Array(3);
  const length = new Uint32Array([credentials.byteLength]);
  checked("getsockopt", libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ptr(credentials), ptr(length)));
  return credentials[0] ?? 0;
}

export function closeFd(fd: number): void {
  libc().close(fd);
}

/** Another descriptor of the same thing, which no program that is started inherits. */
export function duplicate(fd: number): number {
  return checked("fcntl", libc().fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

/** Whether the program that replaces this one keeps the descriptor. */
export function setInherited(fd: number, isInherited: boolean): void {
  checked("fcntl", libc().fcntl(fd, F_SETFD, isInherited ? 0 : 1));
}

/** A file in memory without a name. */
export function openMemoryFile(name: string): number {
  return checked("memfd_create", libc().memfd_create(ptr(text(name)), MFD_CLOEXEC));
}

/** This process gets `signal` when the one that started it ends, however it ends. */
export function setParentDeathSignal(signal: number): void {
  checked("prctl", libc().prctl(PR_SET_PDEATHSIG, BigInt(signal), 0n, 0n, 0n));
}

/** Whether a child that Bun did not start has ended; then it is gone from the process table. */
export function reap(pid: number): { readonly exitCode: number | null; readonly signal: string | null } | undefined {
  const status = new Int32Array(1);
  const answer = libc().waitpid(pid, ptr(status), WNOHANG);
  if (answer === 0) return undefined;
  if (answer < 0) {
    const error = failed("waitpid");
    // Not a child (any more): as good as ended.
    return error.code === INTERRUPTED ? undefined : { exitCode: null, signal: null };
  }
  const word = status[0] ?? 0;
  const signal = word & 0x7f;
  return signal === 0 ? { exitCode: (word >> 8) & 0xff, signal: null } : { exitCode: null, signal: nameOf(signal) };
}

function nameOf(signal: number): string {
  return Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? `signal ${signal}`;
}

/**
 * Becomes another program, as the same process: its children stay its children, and descriptors that are inherited stay
 * open, which `process.execve` closes. Returns only by throwing.
 */
export function replaceProcess(
  path: string,
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): never {
  const file = text(path);
  const strings = [argv.map(text), Object.entries(environment).map(([name, value]) => text(`${name}=${value ?? ""}`))];
  const [argvPointers = new BigUint64Array(1), environmentPointers = new BigUint64Array(1)] = strings.map(
    (list) => new BigUint64Array([...list.map((item) => BigInt(ptr(item))), 0n]),
  );
  libc().execve(ptr(file), ptr(argvPointers), ptr(environmentPointers));
  throw failed(`execve of ${path}, with ${strings.flat().length} strings`);
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}
