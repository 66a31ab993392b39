// What a peer said about itself in SETTINGS (RFC 9113 §6.5).
import {
  DEFAULT_FRAME_MAX_BYTES,
  DEFAULT_WINDOW_BYTES,
  ENABLE_CONNECT_PROTOCOL,
  ENABLE_PUSH,
  ErrorCode,
  FRAME_MAX_BYTES,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
  MAX_HEADER_LIST_SIZE,
  readUint32,
  WINDOW_MAX_BYTES,
} from "./http2-frames.ts";

/** Why a peer's settings end the connection. */
export interface SettingsProblem {
  readonly code: ErrorCode;
  readonly message: string;
}

const SETTING_BYTES = 6;

/** A peer's settings, with the specification's defaults until it says otherwise. */
export class PeerSettings {
  headerTableBytes = 4096;
  maxConcurrentStreams = WINDOW_MAX_BYTES;
  initialWindowBytes = DEFAULT_WINDOW_BYTES;
  frameMaxBytes = DEFAULT_FRAME_MAX_BYTES;
  /** Bytes of a head as RFC 9113 §6.5.2 counts them; advice, and no bound on what we send. */
  headMaxBytes = Infinity;
  allowsConnectProtocol = false;

  /** Takes the payload of one frame, in order; a setting that breaks a rule is a problem. */
  apply(bytes: Buffer, start: number, end: number): SettingsProblem | undefined {
    if ((end - start) % SETTING_BYTES !== 0)
      return { code: ErrorCode.FRAME_SIZE_ERROR, message: "SETTINGS are six bytes each" };
    for (let at = start; at < end; at += SETTING_BYTES) {
      const id = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
      const problem = this.#set(id, readUint32(bytes, at + 2));
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  #set(id: number, value: number): SettingsProblem | undefined {
    switch (id) {
      case HEADER_TABLE_SIZE:
        this.headerTableBytes = value;
        return undefined;
      case ENABLE_PUSH:
        return value > 1 ? refuse(ErrorCode.PROTOCOL_ERROR, `ENABLE_PUSH ${value}`) : undefined;
      case MAX_CONCURRENT_STREAMS:
        this.maxConcurrentStreams = value;
        return undefined;
      case INITIAL_WINDOW_SIZE:
        if (value > WINDOW_MAX_BYTES) return refuse(ErrorCode.FLOW_CONTROL_ERROR, `INITIAL_WINDOW_SIZE ${value}`);
        this.initialWindowBytes = value;
        return undefined;
      case MAX_FRAME_SIZE:
        if (value < DEFAULT_FRAME_MAX_BYTES || value > FRAME_MAX_BYTES)
          return refuse(ErrorCode.PROTOCOL_ERROR, `MAX_FRAME_SIZE ${value}`);
        this.frameMaxBytes = value;
        return undefined;
      case MAX_HEADER_LIST_SIZE:
        this.headMaxBytes = value;
        return undefined;
      case ENABLE_CONNECT_PROTOCOL:
        // RFC 8441 §3: it may not be taken back.
        if (value > 1 || (value === 0 && this.allowsConnectProtocol))
          return refuse(ErrorCode.PROTOCOL_ERROR, `ENABLE_CONNECT_PROTOCOL ${value}`);
        this.allowsConnectProtocol = value === 1;
        return undefined;
      default:
        return undefined;
    }
  }
}

function refuse(code: ErrorCode, message: string): SettingsProblem {
  return { code, message };
}
