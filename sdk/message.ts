// The messages that handlers get, over any source of fields: the same classes run in the sandbox and natively.
import { MessageBody } from "./body.ts";
import { EditableHeaders, type Lookup } from "./headers.ts";
import type { CallPort } from "./port.ts";

/** A request as `FilterRequest` declares it; the types narrow it to what the filter reads. */
export class RequestMessage<Of = unknown> {
  readonly headers: EditableHeaders<Of>;
  /** @internal Not `#private`, which an interpreter pays for at each access. */
  readonly port: CallPort;
  /** What the handler wants of the body; `undefined` where it has not asked for it. */
  touchedBody: MessageBody | undefined = undefined;

  constructor(lookup: Lookup<Of>, of: Of, port: CallPort) {
    this.headers = new EditableHeaders(lookup, of);
    this.port = port;
  }

  get method(): string {
    return this.headers.original(":method") ?? "";
  }

  get path(): string {
    return this.headers.original(":path") ?? "";
  }

  get authority(): string {
    return this.headers.original(":authority") ?? "";
  }

  get body(): MessageBody {
    return (this.touchedBody ??= new MessageBody(this.port));
  }

  attribute(name: string): string | undefined {
    return this.headers.get(name) ?? undefined;
  }

  /** For later filters and the access log: a name of `writes` that begins with `metadata.`. */
  setAttribute(name: string, value: string): void {
    this.headers.set(name, value);
  }
}

/** A reply as `FilterResponse` declares it, its trailers, or what is left of it for the log. */
export class ResponseMessage<Of = unknown> extends RequestMessage<Of> {
  readonly request: RequestMessage;

  constructor(lookup: Lookup<Of>, of: Of, request: RequestMessage, port: CallPort) {
    super(lookup, of, port);
    this.request = request;
  }

  get status(): number {
    return Number(this.headers.get(":status"));
  }

  set status(status: number) {
    this.headers.set(":status", String(status));
  }

  override attribute(name: string): string | undefined {
    return this.request.attribute(name);
  }
}
