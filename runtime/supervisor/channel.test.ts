// Frames, however the bytes come.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Channel, type ChannelSocket } from "./channel.ts";

/** A socket that takes `room` bytes a time and keeps them. */
class Pipe implements ChannelSocket {
  bytes: Buffer = Buffer.alloc(0);
  isTerminated = false;
  readonly room: number;

  constructor(room: number) {
    this.room = room;
  }

  write(bytes: Uint8Array, offset: number, length: number): number {
    const taken = Math.min(this.room, length);
    this.bytes = Buffer.concat([this.bytes, bytes.subarray(offset, offset + taken)]);
    return taken;
  }

  terminate(): void {
    this.isTerminated = true;
  }
}

test("messages arrive whole and in order, whatever is written and read at once", () => {
  const messages = fc.array(fc.record({ text: fc.string({ unit: "grapheme", maxLength: 40 }) }), { maxLength: 8 });
  fc.assert(
    fc.property(messages, fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 50 }), (sent, room, piece) => {
      const pipe = new Pipe(room);
      const from = new Channel(pipe, () => undefined);
      for (const message of sent) from.send(message);
      while (!from.isIdle) from.drained();
      const heard: unknown[] = [];
      const to = new Channel(new Pipe(1), (message) => heard.push(message));
      for (let start = 0; start < pipe.bytes.length; start += piece) {
        to.received(pipe.bytes.subarray(start, start + piece));
      }
      expect(heard).toEqual(sent);
    }),
  );
});

test("nonsense and a frame beyond the bound end the channel", () => {
  for (const bytes of [Buffer.from([0, 0, 0, 1, 0x7b]), Buffer.from([0xff, 0xff, 0xff, 0xff])]) {
    const pipe = new Pipe(1);
    const heard: unknown[] = [];
    const channel = new Channel(pipe, (message) => heard.push(message));
    channel.received(bytes);
    expect([pipe.isTerminated, heard]).toEqual([true, []]);
  }
});
