// Addresses as configurations write them.

/** `127.0.0.1:8125`, `[::1]:8125`. The contract has checked it. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon).replaceAll(/[[\]]/gu, ""), port: Number(address.slice(colon + 1)) };
}
