// `filter dev` as a program: what it prints, how it is asked about requests, and how it ends.
import { mkdir, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { renderProblem, type Problem } from "../../runtime/contract/problem.ts";
import { explainFailure } from "../build/failure-text.ts";
import { describeError } from "../describe-error.ts";
import { DevServer, type DevEvents, type DevOptions } from "./dev-server.ts";
import { visibleLines } from "../../runtime/contract/visible.ts";
import { renderLine, renderStory } from "./render-story.ts";

/** Says to `filter explain` where a `filter dev` that was started here is. */
export const DEV_FILE: string = join(".vespid", "dev.json");

/** How long after it was saved a version of source should serve. */
const RELOAD_MAX_MS = 100;

/** Runs until it is told to end. `json`: each request as a line of JSON on standard output. */
export async function runDev(options: DevOptions, json: boolean): Promise<void> {
  let isServing = false;
  const name = relative(process.cwd(), options.path);
  const mode = options.isSandboxed ? "sandbox" : "source";
  const behind = options.service === undefined ? "an echo of the request" : options.service.href;
  const events: DevEvents = {
    serves({ port, file, tookMs, steps }) {
      const how = steps.length === 0 ? "" : ` (${steps.join(", ")})`;
      if (file !== "") tell(`${file} was saved: it serves after ${Math.round(tookMs)} ms${how}`);
      if (!options.isSandboxed && file !== "" && tookMs > RELOAD_MAX_MS) tell("  which is long: is the machine busy?");
      if (isServing) return;
      isServing = true;
      tell(
        `${name} (${mode}) serves at http://127.0.0.1:${port}, in front of ${behind}; save it to reload${file === "" ? how : ""}`,
      );
    },
    refused: (problems) =>
      tellProblems(
        isServing
          ? `${name} has problems; the version before serves on:`
          : `${name} has problems; it serves once they are gone:`,
        problems,
      ),
    mistyped: (problems) => tellProblems(`${name} has types that do not fit; it serves all the same:`, problems),
    answered: (story) => {
      if (json) process.stdout.write(`${JSON.stringify(story)}\n`);
      else tell(renderStory(story));
    },
    wrote: (line) => {
      if (!json) tell(renderLine(line));
    },
  };
  const server = await DevServer.start(options, events);
  process.on("unhandledRejection", (reason) =>
    tell(`error unhandled rejection: ${explainFailure(describeError(reason), server.placeOf)}`),
  );
  const answers = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: {
      "/requests/:id": ({ params }) => {
        const story = server.stories.find(params.id);
        return story === undefined
          ? new Response("not known\n", { status: 404 })
          : Response.json({ story, text: renderStory(story) });
      },
    },
    fetch: () => new Response("GET /requests/ID\n", { status: 404 }),
  });
  await mkdir(".vespid", { recursive: true });
  await Bun.write(DEV_FILE, JSON.stringify({ url: answers.url.href, pid: process.pid }));
  const ended = Promise.withResolvers<undefined>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => ended.resolve(undefined));
  await ended.promise;
  await rm(DEV_FILE, { force: true });
  await answers.stop(true);
  await server.stop();
}

function tell(line: string): void {
  process.stderr.write(`${visibleLines(line)}\n`);
}

function tellProblems(what: string, problems: readonly Problem[]): void {
  tell(what);
  for (const problem of problems) tell(`  ${renderProblem(problem)}`);
}
