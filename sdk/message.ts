// The messages that handlers get, over any source of fields: the same classes run in the sandbox and natively.
import { EditableHeaders, type Lookup } from "./headers.ts";

/** A request as `FilterRequest` declares it; the types narrow it to what the filter reads. */
export class RequestMessage<Of = unknown> {
  readonly headers: EditableHeaders<Of>;

  constructor(lookup: Lookup<Of>, of: Of) {
    this.headers = new EditableHeaders(lookup, of);
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

  attribute(name: string): string | undefined {
    return this.headers.original(name);
  }
}

/** A reply as `FilterResponse` declares it. */
export class ResponseMessage<Of = unknown> {
  readonly headers: EditableHeaders<Of>;
  readonly request: RequestMessage;

  constructor(lookup: Lookup<Of>, of: Of, request: RequestMessage) {
    this.headers = new EditableHeaders(lookup, of);
    this.request = request;
  }

  get status(): number {
    return Number(this.headers.get(":status"));
  }

  set status(status: number) {
    this.headers.set(":status", String(status));
  }
}
