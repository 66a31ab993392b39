// A connection's requests arrive at the upstream as they were meant: as many, in their order, each with its own body,
// whatever the bodies look like and however the bytes are cut on their way.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import * as fc from "fast-check";
import { startProgram } from "../harness/program.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const owned = new AsyncDisposableStack();
let proxy: RunningProxy;

/** Answers each request with its method, path and body. */
const ECHO = `
const server = require("node:http").createServer((request, reply) => {
  let body = "";
  request.setEncoding("latin1");
  request.on("data", (chunk) => { body += chunk; });
  request.on("end", () => {
    const text = "<" + request.method + " " + request.url + " " + body + ">";
    reply.setHeader("content-length", text.length);
    reply.end(text);
  });
});
server.listen(0, "127.0.0.1", () => console.log("listening on " + server.address().port));
`;

beforeAll(async () => {
  const folder = owned.use(await makeTempFolder());
  // Node's parser (llhttp) is the judge: it is strict, it is not ours, and Bun's own answers a trailer with a stray 400.
  const upstream = owned.use(startProgram(["node", "-e", ECHO]));
  const [, applicationPort = "0"] = await upstream.printed(/listening on (\d+)/u);
  proxy = owned.use(
    await startProxy({
      service: "stream",
      applicationPort: Number(applicationPort),
      cwd: folder.path,
      accessLog: folder.file("access.log"),
    }),
  );
});
afterAll(() => owned.disposeAsync());

interface Sent {
  readonly method: "GET" | "POST" | "PUT";
  readonly body: string;
  /** Sizes that the body is cut into; `undefined` sends it with its length. */
  readonly chunks: readonly number[] | undefined;
  readonly extension: string;
  readonly trailer: string;
}

/** What a smuggler would put into a body. */
const bite = fc.constantFrom(
  "GET /hidden HTTP/1.1\r\nHost: app\r\n\r\n",
  "0\r\n\r\n",
  "\r\n",
  "\r\n\r\n",
  "5\r\n",
  "HTTP/1.1 200 OK\r\n\r\n",
  "Content-Length: 3\r\n",
  "x".repeat(5000),
  "a",
);
const sent: fc.Arbitrary<Sent> = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT"),
  body: fc.array(bite, { maxLength: 4 }).map((parts) => parts.join("")),
  chunks: fc.option(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 4 }), { nil: undefined }),
  extension: fc.constantFrom("", ";a", ';a="b;c"'),
  trailer: fc.constantFrom("", "X-Sum: 1\r\n"),
});

function renderRequest({ method, body, chunks, extension, trailer }: Sent, path: string, isLast: boolean): string {
  const head = `${method} ${path} HTTP/1.1\r\nHost: app\r\n${isLast ? "Connection: close\r\n" : ""}`;
  // A body of a GET has no meaning that upstreams agree on (RFC 9110 §9.3.1).
  if (method === "GET") return `${head}\r\n`;
  if (chunks === undefined) return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
  let coded = "";
  for (let at = 0, turn = 0; at < body.length; turn++) {
    const piece = body.slice(at, at + (chunks[turn % chunks.length] ?? 1));
    coded += `${piece.length.toString(16)}${extension}\r\n${piece}\r\n`;
    at += piece.length;
  }
  return `${head}Transfer-Encoding: chunked\r\n\r\n${coded}0\r\n${trailer}\r\n`;
}

function cutAt(text: string, sizes: readonly number[]): readonly string[] {
  const pieces: string[] = [];
  for (let at = 0, turn = 0; at < text.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    pieces.push(text.slice(at, at + size));
    at += size;
  }
  return pieces;
}

/** Bodies of all replies on a connection, by their lengths and chunks. */
function readReplies(text: string): readonly string[] {
  const bodies: string[] = [];
  for (let at = 0; at < text.length;) {
    const headEnd = text.indexOf("\r\n\r\n", at);
    const head = text.slice(at, headEnd);
    const length = Number(/\r\ncontent-length: (\d+)/iu.exec(head)?.[1]);
    if (!head.startsWith("HTTP/1.1 200 ") || Number.isNaN(length)) throw new Error(`unexpected reply: ${head}`);
    bodies.push(text.slice(headEnd + 4, headEnd + 4 + length));
    at = headEnd + 4 + length;
  }
  return bodies;
}

test("requests in one stream are answered one for one", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(sent, { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 5 }),
      async (requests, sizes) => {
        const stream = requests
          .map((request, index) => renderRequest(request, `/${index}`, index === requests.length - 1))
          .join("");
        const reply = await exchangeRaw(proxy.inboundPort, cutAt(stream, sizes));
        expect(reply.isClosed).toBe(true);
        expect(readReplies(reply.text)).toEqual(
          requests.map(({ method, body }, index) => `<${method} /${index} ${method === "GET" ? "" : body}>`),
        );
      },
    ),
    { numRuns: 1000, interruptAfterTimeLimit: 20_000 },
  );
});
