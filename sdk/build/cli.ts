// `bun run filter`: the edge of the process.
import { filterCommand } from "./command.ts";

if (import.meta.main) await filterCommand().parseAsync();
