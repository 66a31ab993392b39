// What stands before the document's paths: the paths of its servers' URLs.
import { child, DocumentFault, elements, members, textOf, type Node } from "./document.ts";

/** Bases of several variables with several values each, at most. */
const BASES_MAX = 64;

/** Paths of servers, without a slash at their ends; the one of no server is empty. */
export function basesOf(servers: Node | undefined): readonly string[] {
  const bases = elements(servers).flatMap(basesOfServer);
  return bases.length === 0 ? [""] : [...new Set(bases)];
}

function basesOfServer(server: Node): readonly string[] {
  let urls: readonly string[] = [textOf(server, "url") ?? ""];
  for (const [name, variable] of members(child(server, "variables"))) {
    const options = elements(child(variable, "enum")).map(({ value }) => String(value));
    const values = options.length > 0 ? options : [textOf(variable, "default") ?? ""];
    urls = urls.flatMap((url) =>
      url.includes(`{${name}}`) ? values.map((value) => url.replaceAll(`{${name}}`, value)) : [url],
    );
    if (urls.length > BASES_MAX) throw new DocumentFault(server.pointer, `stands for more than ${BASES_MAX} URLs`);
  }
  return urls.map((url) => pathOf(url, server.pointer));
}

/** Relative URLs are taken from the root: where the document was is not known here. */
function pathOf(url: string, pointer: string): string {
  const [, path = ""] = /^(?:[A-Za-z][A-Za-z\d+.-]*:)?(?:\/\/[^/?#]*)?([^?#]*)$/u.exec(url) ?? [];
  if (/[{}]/u.test(path))
    throw new DocumentFault(pointer, `url ${JSON.stringify(url)} has a variable that is not described`);
  const trimmed = path.replace(/\/+$/u, "");
  return trimmed === "" || trimmed.startsWith("/") ? trimmed : `/${trimmed}`;
}
