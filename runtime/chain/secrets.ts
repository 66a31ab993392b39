// What leaves a proxy without its values when exchanges are shown to people: credentials, by the names of the fields and
// parameters that carry them.

/** Fields whose values are left out, whatever their case and separators. */
const SECRET_FIELDS = new Set(
  [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-forwarded-client-cert",
    "x-amz-security-token",
  ].map(plain),
);

/** Parameters of queries and members of forms and JSON whose values are left out, whatever their case and separators. */
const SECRET_PARAMETERS = new Set([
  "code",
  "credential",
  "jsessionid",
  "jwt",
  "session",
  "sessionid",
  "sig",
  "signature",
]);

/** How names end that carry credentials, whatever is before it: `x-vault-token`, `new_password`, `client-secret`. */
const SECRET_END = /(?:token|secret|password|passwd|passphrase|apikey)$/u;

/** In the place of a value. */
export const REDACTED = "[redacted]";

/** Names of which no value leaves the proxy; `more` by an operator's choice. */
export class Secrets {
  readonly #more: ReadonlySet<string>;

  constructor(more: readonly string[] = []) {
    this.#more = new Set(more.map(plain));
  }

  hasField(name: string): boolean {
    const word = plain(name);
    return SECRET_FIELDS.has(word) || SECRET_END.test(word) || this.#more.has(word);
  }

  /** Of a form, `user[password]` is the member of a member. */
  hasParameter(name: string): boolean {
    return [name, ...name.split(/[[\].]/u)].some((part) => {
      const word = plain(part);
      return SECRET_PARAMETERS.has(word) || SECRET_END.test(word) || this.#more.has(word);
    });
  }
}

/** A part of a secret that is shorter stands in too many other texts to be looked for. */
const PART_MIN_LENGTH = 6;
const PARTS_MAX = 200;

/** Leaves out the secrets of one exchange, and remembers them: what a filter copied elsewhere is left out there too. */
export class Redactor {
  readonly #secrets: Secrets;
  readonly #parts = new Set<string>();

  constructor(secrets: Secrets) {
    this.#secrets = secrets;
  }

  /** The value of a field as it may be shown. */
  field(name: string, value: string): string {
    return this.#secrets.hasField(name) ? this.#hide(value) : value;
  }

  /** The value of a parameter or member as it may be shown. */
  parameter(name: string, value: string): string {
    return this.isSecret(name) ? this.#hide(value) : value;
  }

  /** Whether no member of this name is shown. */
  isSecret(name: string): boolean {
    return this.#secrets.hasParameter(name) || this.#secrets.hasField(name);
  }

  /** A value that a filter wrote, as it may be shown. */
  written(name: string, value: string): string {
    if (this.#secrets.hasField(name)) return REDACTED;
    // There were more than are remembered: it may be any of them.
    if (this.#parts.size >= PARTS_MAX) return REDACTED;
    for (const part of this.#parts) if (value.includes(part)) return REDACTED;
    return value;
  }

  #hide(value: string): string {
    // `Bearer abc`, `a=b; c=d`: each may be found by itself.
    for (const part of value.split(/[\s;,=&"]+/u)) {
      if (part.length >= PART_MIN_LENGTH && this.#parts.size < PARTS_MAX) this.#parts.add(part);
    }
    return REDACTED;
  }
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]/gu, "");
}
