// JSON Schema's `format`, for the formats that have one meaning. Each is a check in linear time; others are not looked at.
import { isIPv4, isIPv6 } from "node:net";

const FORMATS: Readonly<Record<string, (text: string) => boolean>> = {
  date: isDate,
  time: isTime,
  "date-time": (text) => /^[^Tt ]{10}[Tt]/u.test(text) && isDate(text.slice(0, 10)) && isTime(text.slice(11)),
  email: (text) => text.length <= 254 && /^[^\s@]+@[^\s@]+$/u.test(text),
  hostname: isHostname,
  ipv4: isIPv4,
  ipv6: (text) => isIPv6(text) && !text.includes("%"),
  uri: (text) => /^[A-Za-z][A-Za-z\d+.-]*:/u.test(text) && isUriText(text),
  "uri-reference": isUriText,
  uuid: (text) => /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/iu.test(text),
  "json-pointer": (text) => /^(?:\/(?:[^~/]|~[01])*)*$/u.test(text),
  byte: (text) => text.length % 4 === 0 && /^[A-Za-z\d+/]*={0,2}$/u.test(text),
};

/** How a format is checked; `undefined` for one that is not. */
export function formatCheck(name: string): ((text: string) => boolean) | undefined {
  return Object.hasOwn(FORMATS, name) ? FORMATS[name] : undefined;
}

/** RFC 3339 §5.6, with the months' lengths. */
function isDate(text: string): boolean {
  const [, year = "", month = "", day = ""] = /^(\d{4})-(\d\d)-(\d\d)$/u.exec(text) ?? [];
  const time = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  return month !== "" && time.getUTCMonth() === Number(month) - 1 && time.getUTCDate() === Number(day);
}

function isTime(text: string): boolean {
  const found = /^(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))$/u.exec(text);
  if (found === null) return false;
  const [, hours = "", minutes = "", seconds = "", sign = "", offsetHours = "0", offsetMinutes = "0"] = found;
  if (Number(hours) > 23 || Number(minutes) > 59 || Number(offsetHours) > 23 || Number(offsetMinutes) > 59)
    return false;
  if (Number(seconds) < 60) return true;
  // A leap second ends a day of UTC.
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * (sign === "-" ? -1 : 1);
  return Number(seconds) === 60 && (Number(hours) * 60 + Number(minutes) - offset + 2880) % 1440 === 1439;
}

/** RFC 1123 §2.1. */
function isHostname(text: string): boolean {
  return (
    text.length <= 253 && text.split(".").every((label) => /^[A-Za-z\d](?:[A-Za-z\d-]{0,61}[A-Za-z\d])?$/u.test(label))
  );
}

/** The characters of RFC 3986, and percent signs that code something. */
function isUriText(text: string): boolean {
  return /^(?:[A-Za-z\d\-._~:/?#[\]@!$&'()*+,;=]|%[\dA-Fa-f]{2})*$/u.test(text);
}
