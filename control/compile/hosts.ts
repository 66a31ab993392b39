// Names of services: Istio's rules for short names, wildcards and the domains that a host answers to.

/** Suffix of every service's full name, as Kubernetes has it. */
const SERVICE_DOMAIN = "svc.cluster.local";

/** A short name (no dot) is of `namespace`; any other is full already. */
export function fullHost(host: string, namespace: string): string {
  return host.includes(".") || host.startsWith("*") ? host : `${host}.${namespace}.${SERVICE_DOMAIN}`;
}

/** Whether `pattern` (exact or `*.suffix`) covers `host`; a wildcard covers a narrower wildcard. */
export function hostCovers(pattern: string, host: string): boolean {
  if (pattern === host) return true;
  const suffix = pattern.slice(1);
  return pattern.startsWith("*.") && host.length > suffix.length && host.endsWith(suffix);
}

/** Orders patterns from the most exact: exact names first, then the longer wildcard. */
export function compareSpecificity(a: string, b: string): number {
  const isWildA = a.startsWith("*");
  const isWildB = b.startsWith("*");
  return isWildA === isWildB ? b.length - a.length : Number(isWildA) - Number(isWildB);
}

/** Other names that a proxy of `namespace` may call the host by: `reviews`, `reviews.default`, `reviews.default.svc`. */
export function shortForms(host: string, namespace: string): readonly string[] {
  const match = /^([^.*]+)\.([^.]+)\.svc\.cluster\.local$/u.exec(host);
  const [, name, owner] = match ?? [];
  if (name === undefined || owner === undefined) return [];
  return [...(owner === namespace ? [name] : []), `${name}.${owner}`, `${name}.${owner}.svc`];
}

/** Whether a resource of `owner` that is exported to `exportTo` is seen from `namespace`. None means to all. */
export function isVisible(exportTo: readonly string[], owner: string, namespace: string): boolean {
  if (exportTo.length === 0) return true;
  return exportTo.some((to) => to === "*" || to === namespace || (to === "." && owner === namespace));
}
