// Replies of adapters that said no.
import { localReply, type ResponseFlags } from "../exchange/reply.ts";
import type { Refusal } from "./adapter.ts";

/** gRPC's numbers (google.rpc.Code), as Mixer's `check.error_code` has them. */
export const CODES = { permissionDenied: 7, resourceExhausted: 8, unavailable: 14, unauthenticated: 16 } as const;

export interface RefusalInit {
  readonly adapter: string;
  readonly status: number;
  /** Body for the client, plain text. */
  readonly message: string;
  readonly headers?: readonly (readonly [string, string])[];
}

/** A refusal with a reply that names the adapter in its details, and nowhere else. */
export function refusal({ adapter, status, message, headers = [] }: RefusalInit): Refusal {
  return {
    code: codeOf(status),
    message: message === "" ? `refused by ${adapter}` : message,
    reply: () => {
      const reply = localReply(status, message, `adapter_refused{${adapter.replaceAll(" ", "_")}}`, headers);
      reply.flags = flagsOf(status);
      return reply;
    },
  };
}

function codeOf(status: number): number {
  if (status === 401) return CODES.unauthenticated;
  if (status === 429) return CODES.resourceExhausted;
  return status >= 500 ? CODES.unavailable : CODES.permissionDenied;
}

/** Envoy's for a limit that is reached, and for who may not. */
function flagsOf(status: number): ResponseFlags {
  if (status === 429) return "RL";
  return status >= 500 ? "-" : "UAEX";
}
