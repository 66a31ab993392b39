// Who sent a request that came through proxies: an address that a client can write itself is worth nothing.

/**
 * The client's address. `trustedHops` proxies stand in front and each adds the address that it saw to `x-forwarded-for`: the
 * client's is that many from the right, and what is left of it anybody may have written. With 0, and where the field holds
 * fewer addresses, it is `sourceIp`, the connection's. Ports and brackets are cut off.
 */
export function clientIp(sourceIp: string, forwardedFor: string | null, trustedHops: number): string {
  if (trustedHops < 1 || forwardedFor === null) return sourceIp;
  const hops = forwardedFor.split(",");
  const hop = hops[hops.length - trustedHops]?.trim() ?? "";
  const [, bracketed, plain] = /^(?:\[([0-9A-Fa-f:.]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d+)?$/u.exec(hop) ?? [];
  const address = bracketed ?? plain ?? hop;
  return /^[0-9A-Fa-f:.]+$/u.test(address) ? address : sourceIp;
}
