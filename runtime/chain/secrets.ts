// What leaves a proxy without its values when exchanges are shown to people: credentials, by the names of the fields and
// parameters that carry them.

/** Fields whose values are left out, in lower case. */
const SECRET_FIELDS = new Set([
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "x-api-key",
  "x-auth-token",
  "x-csrf-token",
  "x-forwarded-client-cert",
  "x-amz-security-token",
]);

/** Parameters of queries and members of forms and JSON whose values are left out, whatever their case and separators. */
const SECRET_PARAMETERS = new Set([
  "accesstoken",
  "apikey",
  "authtoken",
  "clientsecret",
  "code",
  "credential",
  "idtoken",
  "jwt",
  "passwd",
  "password",
  "refreshtoken",
  "secret",
  "session",
  "sessionid",
  "sig",
  "signature",
  "token",
]);

/** In the place of a value. */
export const REDACTED = "[redacted]";

/** Names of which no value leaves the proxy; `more` by an operator's choice. */
export class Secrets {
  readonly #more: ReadonlySet<string>;

  constructor(more: readonly string[] = []) {
    this.#more = new Set(more.map(plain));
  }

  hasField(name: string): boolean {
    return SECRET_FIELDS.has(name.toLowerCase()) || this.#more.has(plain(name));
  }

  hasParameter(name: string): boolean {
    const word = plain(name);
    return SECRET_PARAMETERS.has(word) || this.#more.has(word);
  }
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]/gu, "");
}
