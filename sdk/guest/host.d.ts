// The WIT's imports as the componentizer offers them to the bundle. The error of a result is thrown as an `Error` with
// its text as the message.
declare module "vespid:filter/host@2.0.0" {
  const host: {
    log(level: "debug" | "info" | "warn" | "error", message: string, fields: string): void;
    start(call: number, kind: string, request: string, payload: Uint8Array): number;
    stop(operation: number): void;
    emit(call: number, to: "downstream" | "upstream", bytes: Uint8Array): void;
    settle(call: number, answer: string): void;
    text(name: string, request: string, payload: Uint8Array): string;
    bytes(name: string, request: string, payload: Uint8Array): Uint8Array;
  };
  export default host;
}
