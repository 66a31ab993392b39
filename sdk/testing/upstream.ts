// Whoever answers in a test: upstreams that the filter calls, and the service behind it. The test writes the answers.
import { bytesOf } from "../content.ts";
import { fieldsOf, type TestBody } from "./pieces.ts";

/** What an answer is made of. */
export interface AnswerInit {
  /** Default `200`. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text or bytes; a list is sent piece by piece. Default: none. */
  readonly body?: TestBody;
  readonly trailers?: Readonly<Record<string, string>>;
}

/** A request as whoever answers it sees it. Header names are in lower case. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
  /** The body as UTF-8. */
  readonly body: string;
  readonly trailers: Readonly<Record<string, string>>;
  /** The body as JSON; throws a `SyntaxError` where it is none. */
  readonly json: () => unknown;
}

/** What a test answers with: parts, or a `Response` as the web has it. */
export type TestAnswer = AnswerInit | Response;
export type Answerer = (request: ReceivedRequest) => TestAnswer | Promise<TestAnswer>;

/** One who answers. What was said last holds for the requests from then on. */
export interface TestUpstream {
  /** Answers each request so, or with what the function makes of it. What it throws fails the test. */
  reply(answer: TestAnswer | Answerer): void;
  /** Each request fails, as where nobody listens. */
  fail(): void;
  /** Requests wait until their time is up; `advance` moves the clock. */
  hang(): void;
  /** What was asked, oldest first. */
  readonly requests: readonly ReceivedRequest[];
}

/** What becomes of one request. */
export type Made =
  | { readonly kind: "answer"; readonly status: number; readonly headers: Fields; readonly parts: AnswerInit }
  | { readonly kind: "failed" }
  | { readonly kind: "never" };
type Fields = readonly (readonly [string, string])[];

/** Tells the test what it has to know of. */
export type Complain = (error: Error) => void;

type Script = (request: ReceivedRequest) => Made | Promise<Made>;

export class ScriptedUpstream implements TestUpstream {
  readonly requests: ReceivedRequest[] = [];
  /** Requests whose answers the test is still making. */
  pending = 0;
  #script: Script | undefined;
  readonly #complain: Complain;
  readonly #unanswered: (request: ReceivedRequest) => string;

  /** `first` answers until the test says otherwise; without it a request is one that the test forgot. */
  constructor(first: AnswerInit | undefined, complain: Complain, unanswered: (request: ReceivedRequest) => string) {
    this.#complain = complain;
    this.#unanswered = unanswered;
    if (first !== undefined) this.reply(first);
  }

  reply(answer: TestAnswer | Answerer): void {
    if (typeof answer === "function") {
      this.#script = async (request) => makeAnswer(await answer(request));
    } else {
      // A response's body is read once, and answers many.
      const made = makeAnswer(answer);
      this.#script = () => made;
    }
  }

  fail(): void {
    this.#script = () => ({ kind: "failed" });
  }

  hang(): void {
    this.#script = () => ({ kind: "never" });
  }

  /** Answers a request as the test says; never rejects. */
  async receive(request: ReceivedRequest): Promise<Made> {
    this.requests.push(request);
    if (this.#script === undefined) {
      this.#complain(new Error(this.#unanswered(request)));
      return { kind: "failed" };
    }
    this.pending++;
    try {
      return await this.#script(request);
    } catch (error) {
      // An expectation of the test's that does not hold, most often.
      this.#complain(error instanceof Error ? error : new Error(String(error)));
      return { kind: "failed" };
    } finally {
      this.pending--;
    }
  }
}

/** A request for whoever answers. */
export function receivedRequest(
  head: Pick<ReceivedRequest, "method" | "path" | "authority">,
  headers: Iterable<readonly [string, string]>,
  bytes: Uint8Array,
  trailers: Readonly<Record<string, string>> = {},
): ReceivedRequest {
  const body = new TextDecoder().decode(bytes);
  return { ...head, headers: fieldsOf(headers), bytes, body, trailers, json: () => JSON.parse(body) };
}

/** All bytes of an answer's body. */
export function wholeBody(body: TestBody | undefined): Uint8Array {
  if (body === undefined) return new Uint8Array();
  const pieces = typeof body === "string" || body instanceof Uint8Array ? [body] : body;
  return new Uint8Array(Buffer.concat(pieces.map((piece) => bytesOf(piece))));
}

async function makeAnswer(answer: TestAnswer): Promise<Made> {
  if (!(answer instanceof Response)) {
    return {
      kind: "answer",
      status: answer.status ?? 200,
      headers: Object.entries(answer.headers ?? {}),
      parts: answer,
    };
  }
  const body = new Uint8Array(await answer.arrayBuffer());
  const cookies = answer.headers.getSetCookie().map((value) => ["set-cookie", value] as const);
  const headers = [...answer.headers].filter(([name]) => name !== "set-cookie");
  return {
    kind: "answer",
    status: answer.status,
    headers: [...headers, ...cookies],
    parts: body.length > 0 ? { body } : {},
  };
}
