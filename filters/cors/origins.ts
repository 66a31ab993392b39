// Which origins a policy allows. Pure.

/** Istio's StringMatch, without `ignoreCase`: origins are compared as they are. */
export type OriginMatch = { readonly exact: string } | { readonly prefix: string } | { readonly regex: string };

/** Whether an origin is allowed; or what is wrong with a match. */
export function compileOrigins(matches: readonly OriginMatch[]): ((origin: string) => boolean) | string {
  const exact = new Set<string>();
  const rest: ((origin: string) => boolean)[] = [];
  for (const match of matches) {
    if ("exact" in match) exact.add(match.exact);
    else if ("prefix" in match) rest.push((origin) => origin.startsWith(match.prefix));
    else {
      try {
        // The whole origin must match, as in Envoy: a pattern for `shop.example.com` must not let `shop.example.com.evil.org` in.
        const expression = new RegExp(`^(?:${match.regex})$`, "u");
        rest.push((origin) => expression.test(origin));
      } catch (error) {
        return `${JSON.stringify(match.regex)} is not a regular expression: ${String(error)}`;
      }
    }
  }
  if (exact.has("*")) return () => true;
  return (origin) => exact.has(origin) || rest.some((allows) => allows(origin));
}
