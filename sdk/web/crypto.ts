// `crypto` (Web Cryptography), by the proxy: digests, HMAC, and the signatures that tokens have.
import { joinBytes } from "../bytes.ts";
import { requireHost } from "../host.ts";
import { importKey, jwsNameOf, type Algorithm, type CryptoKey } from "./crypto-key.ts";
import { viewOf } from "./text.ts";

type Data = ArrayBuffer | ArrayBufferView;

const subtle = {
  importKey,

  async digest(algorithm: Algorithm | string, data: Data): Promise<ArrayBuffer> {
    return bufferOf(requireHost().bytes("hash", hashOf(algorithm), viewOf(data)));
  },

  async sign(_algorithm: Algorithm | string, key: CryptoKey, data: Data): Promise<ArrayBuffer> {
    if (key.secret === undefined) throw new DOMException("only HMAC can sign here", "NotSupportedError");
    const request = `${hashOf(key.algorithm.hash ?? "")} ${key.secret.length}`;
    return bufferOf(requireHost().bytes("hmac", request, joinBytes(key.secret, viewOf(data))));
  },

  async verify(algorithm: Algorithm | string, key: CryptoKey, signature: Data, data: Data): Promise<boolean> {
    const given = viewOf(signature);
    const request = `${jwsNameOf(algorithm, key)} ${given.length}\n${key.text}`;
    return requireHost().text("verify", request, joinBytes(given, viewOf(data))) === "1";
  },
};

/** The global. */
export const crypto = {
  subtle,

  getRandomValues<View extends ArrayBufferView>(view: View): View {
    const bytes = viewOf(view);
    bytes.set(requireHost().bytes("random", String(bytes.length)));
    return view;
  },

  /** Version 4 (RFC 9562 §5.4). */
  randomUUID(): string {
    const bytes = requireHost().bytes("random", "16");
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    const hex = bytes.toHex();
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  },
};

function hashOf(algorithm: Algorithm | string): string {
  return (typeof algorithm === "string" ? algorithm : algorithm.name).toLowerCase();
}

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
