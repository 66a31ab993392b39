// The programs of interop.test.ts, for python3 and node: each prints what it saw as one line of JSON, or `LISTENING PORT`.

/** Four requests on one connection. */
export const PYTHON_HTTP: string = `
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
connection.connect()
socket = connection.sock
def pieces():
    for _ in range(30):
        yield b"y" * 10000
seen = []
for method, path, body in [("GET", "/first?a=1", None), ("POST", "/sized", b"x" * 200000), ("PUT", "/chunked", pieces()), ("HEAD", "/last", None)]:
    connection.request(method, path, body=body, encode_chunked=True, headers={"Transfer-Encoding": "chunked"} if method == "PUT" else {})
    reply = connection.getresponse()
    seen.append([reply.status, reply.getheader("x-method"), reply.getheader("x-path"), len(reply.read())])
assert connection.sock is socket, "the connection was not kept"
print(json.dumps(seen))
`;

/** Four uploads at once, each above the initial window. */
export const PYTHON_H2: string = `
import json, socket, sys
import h2.connection, h2.config, h2.events
connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
wire = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20)
connection.initiate_connection()
left, heads, sizes, open_streams = {}, {}, {}, set()
for stream in (1, 3, 5, 7):
    connection.send_headers(stream, [(":method", "POST"), (":path", "/stream/%d" % stream), (":scheme", "http"), (":authority", "echo")])
    left[stream], sizes[stream] = 150000, 0
    open_streams.add(stream)
def send():
    for stream in list(left):
        while left[stream] > 0:
            size = min(left[stream], connection.local_flow_control_window(stream), connection.max_outbound_frame_size)
            if size <= 0:
                break
            left[stream] -= size
            connection.send_data(stream, b"z" * size, end_stream=left[stream] == 0)
        if left[stream] == 0:
            del left[stream]
    wire.sendall(connection.data_to_send())
send()
while open_streams:
    data = wire.recv(65536)
    assert data, "the connection was closed"
    for event in connection.receive_data(data):
        if isinstance(event, h2.events.ResponseReceived):
            heads[event.stream_id] = {(k.decode() if isinstance(k, bytes) else k): (v.decode() if isinstance(v, bytes) else v) for k, v in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            sizes[event.stream_id] += len(event.data)
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            open_streams.discard(event.stream_id)
        elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            raise SystemExit(repr(event))
    send()
print(json.dumps([[s, heads[s][":status"], heads[s]["x-method"], heads[s]["x-path"], sizes[s]] for s in sorted(heads)]))
`;

/** Echoes, and closes with what it is asked to. */
export const WS_SERVER: string = `
const { WebSocketServer } = require("ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, path: "/socket", maxPayload: 1e7 });
server.on("listening", () => console.log("LISTENING " + server.address().port));
server.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => {
    if (String(data) === "close") socket.close(4001, "enough");
    else socket.send(data, { binary: isBinary });
  });
});
`;

/** Four messages, a ping, and a close that the other side asks for. */
export const WS_CLIENT: string = `
const { WebSocket } = require("ws");
const socket = new WebSocket(process.argv[1], { maxPayload: 1e7, perMessageDeflate: false });
const sent = ["hello", Buffer.alloc(1), Buffer.alloc(70000, 1), "x".repeat(1000000)];
const seen = { echoed: [], pong: "", closed: [] };
socket.on("open", () => { for (const message of sent) socket.send(message); });
socket.on("message", (data, isBinary) => {
  const expected = Buffer.from(sent[seen.echoed.length]);
  if (!expected.equals(data) || isBinary !== (typeof sent[seen.echoed.length] !== "string")) throw new Error("not what was sent");
  seen.echoed.push(data.length);
  if (seen.echoed.length === sent.length) socket.ping("are you there");
});
socket.on("pong", (data) => { seen.pong = String(data); socket.send("close"); });
socket.on("close", (code, reason) => { seen.closed = [code, String(reason)]; console.log(JSON.stringify(seen)); });
socket.on("error", (error) => { console.error(error); process.exit(1); });
setTimeout(() => { console.error("too late", seen); process.exit(1); }, 20000).unref();
`;

const GRPC_METHODS = `
const grpc = require("@grpc/grpc-js");
const same = { requestSerialize: (x) => x, requestDeserialize: (x) => x, responseSerialize: (x) => x, responseDeserialize: (x) => x };
const method = (name, requestStream, responseStream) => ({ path: "/echo.Echo/" + name, requestStream, responseStream, ...same });
const methods = {
  unary: method("Unary", false, false),
  collect: method("Collect", true, false),
  repeat: method("Repeat", false, true),
  chat: method("Chat", true, true),
  refuse: method("Refuse", false, false),
};
`;

/** Each kind of call. */
export const GRPC_SERVER: string = `${GRPC_METHODS}
const server = new grpc.Server();
server.addService(methods, {
  unary: (call, done) => {
    const metadata = new grpc.Metadata();
    metadata.set("x-kept", call.metadata.get("x-kept")[0] ?? "lost");
    call.sendMetadata(metadata);
    done(null, call.request);
  },
  collect: (call, done) => {
    let count = 0;
    call.on("data", () => count++);
    call.on("end", () => done(null, Buffer.from(String(count))));
  },
  repeat: (call) => {
    for (let i = 0; i < 3; i++) call.write(call.request);
    call.end();
  },
  chat: (call) => {
    call.on("data", (message) => call.write(message));
    call.on("end", () => call.end());
  },
  refuse: (call, done) => done({ code: grpc.status.FAILED_PRECONDITION, details: "not yet: 100%" }),
});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log("LISTENING " + port);
});
`;

/** One call of each kind, to an address; to the host of a second argument, where there is one. */
export const GRPC_CLIENT: string = `${GRPC_METHODS}
const [, address, authority] = process.argv;
const host = authority === undefined ? {} : { "grpc.default_authority": authority };
const client = new (grpc.makeGenericClientConstructor(methods, "Echo"))(address, grpc.credentials.createInsecure(), host);
const options = { deadline: Date.now() + 20000 };
const seen = {};
async function main() {
  await new Promise((resolve, reject) => {
    const metadata = new grpc.Metadata();
    metadata.set("x-kept", "kept");
    let kept = "";
    const call = client.unary(Buffer.alloc(100000), metadata, options, (error, reply) => {
      if (error) return reject(error);
      seen.unary = [reply.length, kept];
      resolve();
    });
    call.on("metadata", (replied) => { kept = replied.get("x-kept")[0]; });
  });
  await new Promise((resolve, reject) => {
    const call = client.collect(new grpc.Metadata(), options, (error, reply) => {
      if (error) return reject(error);
      seen.clientStream = String(reply);
      resolve();
    });
    for (let i = 0; i < 3; i++) call.write(Buffer.from("m"));
    call.end();
  });
  seen.serverStream = [];
  for await (const message of client.repeat(Buffer.from("a"), new grpc.Metadata(), options)) seen.serverStream.push(String(message));
  seen.both = [];
  const chat = client.chat(new grpc.Metadata(), options);
  const words = ["one", "two", "three"];
  chat.write(Buffer.from(words[0]));
  for await (const message of chat) {
    seen.both.push(String(message));
    if (seen.both.length < words.length) chat.write(Buffer.from(words[seen.both.length]));
    else chat.end();
  }
  await new Promise((resolve) => client.refuse(Buffer.alloc(0), new grpc.Metadata(), options, (error) => {
    seen.refused = [error?.code, error?.details];
    resolve();
  }));
  console.log(JSON.stringify(seen));
  client.close();
}
main().catch((error) => { console.error(error); process.exit(1); });
`;
