// The messages that handlers get, over any source of fields: the same classes run in the sandbox and natively.
import { EditableHeaders, type FieldSource } from "./headers.ts";

/** A request as `FilterRequest` declares it; the types narrow it to what the filter reads. */
export class RequestMessage {
  readonly #source: FieldSource;
  readonly headers: EditableHeaders;

  constructor(source: FieldSource) {
    this.#source = source;
    this.headers = new EditableHeaders(source);
  }

  get method(): string {
    return this.#source.get(":method") ?? "";
  }

  get path(): string {
    return this.#source.get(":path") ?? "";
  }

  get authority(): string {
    return this.#source.get(":authority") ?? "";
  }

  attribute(name: string): string | undefined {
    return this.#source.get(name);
  }
}

/** A reply as `FilterResponse` declares it. */
export class ResponseMessage {
  readonly headers: EditableHeaders;
  readonly request: RequestMessage;

  constructor(reply: FieldSource, request: FieldSource) {
    this.headers = new EditableHeaders(reply);
    this.request = new RequestMessage(request);
  }

  get status(): number {
    return Number(this.headers.get(":status"));
  }

  set status(status: number) {
    this.headers.set(":status", String(status));
  }
}
