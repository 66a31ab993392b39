// The WIT's imports as the componentizer offers them to the bundle.
declare module "vespid:filter/host@1.0.0" {
  const host: {
    log(level: "debug" | "info" | "warn" | "error", message: string): void;
    start(call: number, kind: string, request: string): number;
  };
  export default host;
}
