// Sets, adds and removes headers of requests and replies.
import { defineFilter, type FilterHeaders } from "../../sdk/index.ts";
import { Config, type Operations } from "./config.ts";
import { NAMES, type Name } from "./template.ts";

export default defineFilter({
  name: "header-rewrite",
  stage: "transform",
  reads: NAMES,
  // Which headers, only the configuration knows.
  writes: ["*"],
  config: Config,
  request(request, { config }) {
    apply(config.request, request.headers, (name) => request.attribute(name));
  },
  response(response, { config }) {
    apply(config.response, response.headers, (name) => response.request.attribute(name));
  },
});

function apply(
  { remove, set, add }: Operations,
  headers: FilterHeaders<never, string>,
  read: (name: Name) => string | undefined,
): void {
  for (const name of remove) headers.delete(name);
  for (const [name, template] of Object.entries(set)) headers.set(name, template(read));
  for (const [name, template] of Object.entries(add)) headers.append(name, template(read));
}
