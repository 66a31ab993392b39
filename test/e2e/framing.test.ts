// Whatever two implementations could frame differently is answered 400 on a connection that then closes, and the
// upstream hears nothing of it (RFC 9112 §6, §11.2; RFC 9110 §5.5).
import { afterAll, beforeAll, beforeEach, describe, expect, test, setDefaultTimeout } from "bun:test";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const owned = new AsyncDisposableStack();
const seen: string[] = [];
let proxy: RunningProxy;

beforeAll(async () => {
  const folder = owned.use(await makeTempFolder());
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const body = await request.text();
      seen.push(`${request.method} ${new URL(request.url).pathname} ${body}`);
      return new Response("fine");
    },
  });
  owned.defer(() => upstream.stop(true));
  const applicationPort = upstream.port ?? 0;
  proxy = owned.use(await startProxy({ service: "framing", applicationPort, cwd: folder.path }));
});
afterAll(() => owned.disposeAsync());
beforeEach(() => {
  seen.length = 0;
});

const HOST = "Host: app\r\n";
const get = (fields: string) => `GET /refused HTTP/1.1\r\n${fields}\r\n`;
const post = (fields: string, body = "") => `POST /refused HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
const accept = (fields: string, body: string) =>
  `POST /accepted HTTP/1.1\r\n${HOST}Connection: close\r\n${fields}\r\n${body}`;
/** What a smuggler hides in the body. */
const HIDDEN = `GET /hidden HTTP/1.1\r\n${HOST}\r\n`;

describe("refused with 400 and a closed connection", () => {
  test.each<[string, string]>([
    ["both lengths", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")],
    ["both lengths, chunked first", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", `0\r\n\r\n${HIDDEN}`)],
    ["two equal lengths", post("Content-Length: 4\r\nContent-Length: 4\r\n", "body")],
    ["two different lengths", post(`Content-Length: 0\r\nContent-Length: ${HIDDEN.length}\r\n`, HIDDEN)],
    ["a list of lengths", post("Content-Length: 4, 4\r\n", "body")],
    ["a signed length", post("Content-Length: +4\r\n", "body")],
    ["a negative length", post("Content-Length: -4\r\n", "body")],
    ["a hexadecimal length", post("Content-Length: 0x4\r\n", "body")],
    ["an empty length", post("Content-Length:\r\n", "body")],
    ["a length beyond what is exact", post("Content-Length: 99999999999999999999\r\n", "body")],
    ["an unknown transfer coding", post("Transfer-Encoding: gzip\r\n", "0\r\n\r\n")],
    ["chunked that is not last", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")],
    ["chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")],
    ["a disguised coding (vertical tab)", post("Transfer-Encoding: \u000Bchunked\r\n", "0\r\n\r\n")],
    ["a disguised coding (quotes)", post('Transfer-Encoding: "chunked"\r\n', "0\r\n\r\n")],
    ["chunked in HTTP/1.0", `POST /refused HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["a bare CR in a value", get(`${HOST}X-A: a\rb\r\n`)],
    ["a bare CR as a line end", `GET /refused HTTP/1.1\r\n${HOST}X-A: a\rX-B: b\r\n\r\n`],
    ["a bare LF as a line end", `GET /refused HTTP/1.1\n${HOST}\n`],
    ["a NUL in a value", get(`${HOST}X-A: a\0b\r\n`)],
    ["an obsolete line folding", get(`${HOST}X-A: a\r\n b\r\n`)],
    ["a folded length", post("Content-Length:\r\n 4\r\n", "body")],
    ["a space before the first field", `GET /refused HTTP/1.1\r\n ${HOST}\r\n`],
    ["a space before the colon", post("Content-Length : 4\r\n", "body")],
    ["a tab before the colon", post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n")],
    ["a field without a colon", get(`${HOST}nonsense\r\n`)],
    ["a field without a name", get(`${HOST}: value\r\n`)],
    ["a name that is not a token", get(`${HOST}X(A): value\r\n`)],
    ["no Host", get("X-A: a\r\n")],
    ["two Hosts", get(`${HOST}Host: other\r\n`)],
    ["two equal Hosts", get(`${HOST}${HOST}`)],
    ["a Host with a path", get("Host: app/other\r\n")],
    ["a Host with a user", get("Host: user@app\r\n")],
    ["a Host that is a list", get("Host: app other\r\n")],
    ["HTTP/2.0 as a version", `GET /refused HTTP/2.0\r\n${HOST}\r\n`],
    ["HTTP/1.2 as a version", `GET /refused HTTP/1.2\r\n${HOST}\r\n`],
    ["HTTP/1.10 as a version", `GET /refused HTTP/1.10\r\n${HOST}\r\n`],
    ["a version in lower case", `GET /refused http/1.1\r\n${HOST}\r\n`],
    ["no version", `GET /refused\r\n${HOST}\r\n`],
    ["two spaces in the request line", `GET  /refused HTTP/1.1\r\n${HOST}\r\n`],
    ["a tab in the request line", `GET\t/refused HTTP/1.1\r\n${HOST}\r\n`],
    ["a space in the target", `GET /refused /hidden HTTP/1.1\r\n${HOST}\r\n`],
    ["a control character in the target", `GET /refused\u0001 HTTP/1.1\r\n${HOST}\r\n`],
    ["a method that is not a token", `G[]T /refused HTTP/1.1\r\n${HOST}\r\n`],
  ])("%s", async (_name, bytes) => {
    const reply = await exchangeRaw(proxy.inboundPort, bytes);
    expect(reply.text).toStartWith("HTTP/1.1 400 ");
    expect(reply.text.match(/HTTP\/1\.1 /gu)).toHaveLength(1);
    expect(reply.isClosed).toBe(true);
    expect(seen).toEqual([]);
    // The proxy is there for the next one, and what arrives well formed does reach the upstream.
    const good = await exchangeRaw(proxy.inboundPort, `GET /good HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`);
    expect(good.text).toStartWith("HTTP/1.1 200 ");
    expect(seen).toEqual(["GET /good "]);
  });
});

describe("a chunked body that cannot be read ends the connection", () => {
  test.each<[string, string]>([
    ["a size that is not hexadecimal", "x\r\n"],
    ["a size with a sign", "+4\r\nbody\r\n0\r\n\r\n"],
    ["a size with 0x", "0x4\r\nbody\r\n0\r\n\r\n"],
    ["a space before the size", " 4\r\nbody\r\n0\r\n\r\n"],
    ["an empty size", "\r\nbody\r\n0\r\n\r\n"],
    ["a size beyond what is exact", "fffffffffffffffff\r\n"],
    ["a size that ends with LF alone", "4\nbody\r\n0\r\n\r\n"],
    ["a bare CR in an extension", "4;a\rb\r\nbody\r\n0\r\n\r\n"],
    ["a chunk longer than its size", `4\r\nbodybody\r\n0\r\n\r\n${HIDDEN}`],
    ["a chunk that ends with LF alone", "4\r\nbody\n0\r\n\r\n"],
    ["a bare CR in a trailer", "0\r\nX-A: a\rb\r\n\r\n"],
    ["a folded trailer", "0\r\nX-A: a\r\n b\r\n\r\n"],
  ])("%s", async (_name, body) => {
    const reply = await exchangeRaw(proxy.inboundPort, post("Transfer-Encoding: chunked\r\n", body));
    expect(reply.text).toStartWith("HTTP/1.1 400 ");
    expect(reply.text.match(/HTTP\/1\.1 /gu)).toHaveLength(1);
    expect(reply.isClosed).toBe(true);
    expect(seen.filter((line) => line.includes("/hidden"))).toEqual([]);
  });
});

describe("read as one request, whole", () => {
  test.each<[string, string, string]>([
    ["a length", accept("Content-Length: 4\r\n", "body"), "body"],
    ["a length with leading zeros", accept("Content-Length: 004\r\n", "body"), "body"],
    ["one chunk", accept("Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"), "body"],
    [
      "chunks of every case",
      accept("Transfer-Encoding: Chunked\r\n", "A\r\n0123456789\r\n0b\r\nhello world\r\n0\r\n\r\n"),
      "0123456789hello world",
    ],
    ["a chunk extension", accept("Transfer-Encoding: chunked\r\n", '4;a="b;c"\r\nbody\r\n0\r\n\r\n'), "body"],
    [
      "a trailer",
      accept("Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n", "4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n"),
      "body",
    ],
  ])("%s", async (_name, bytes, body) => {
    const whole = await exchangeRaw(proxy.inboundPort, bytes);
    expect(whole.text).toStartWith("HTTP/1.1 200 ");
    const byteByByte = await exchangeRaw(proxy.inboundPort, bytes.split(""));
    expect(byteByByte.text).toStartWith("HTTP/1.1 200 ");
    expect(seen).toEqual([`POST /accepted ${body}`, `POST /accepted ${body}`]);
  });

  test("requests that come in one piece are answered in their order", async () => {
    const paths = Array.from({ length: 20 }, (_, index) => `/${index}`);
    const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\n${HOST}\r\n`).join("");
    const reply = await exchangeRaw(proxy.inboundPort, requests, (text) => text.split("fine").length > paths.length);
    expect(reply.text.split("HTTP/1.1 200 ").length - 1).toBe(paths.length);
    expect(seen.toSorted()).toEqual(paths.map((path) => `GET ${path} `).toSorted());
  });
});
