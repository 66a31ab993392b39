import { counter, defineFilter, respCommands, z } from "vespid";

export default defineFilter({
  name: "tcp",
  stage: "authz",
  reads: ["source.ip"],
  config: z.strictObject({
    /** Commands that are answered here and go no further. */
    denied: z.array(z.string().toUpperCase()).default(["FLUSHALL", "FLUSHDB", "CONFIG"]),
  }),
  metrics: {
    commands_total: counter({ help: "Commands of clients.", labels: ["result"] }),
  },

  // Once for each connection. What it keeps for the connection it keeps in variables here.
  tcp(connection, { config, log, metrics }) {
    const client = connection.attribute("source.ip");
    return {
      // Of other protocols: lines, delimited, lengthPrefixed, frames, or the bytes themselves.
      downstream: respCommands({}, (command) => {
        const isDenied = config.denied.includes(command.name);
        metrics.commands_total.inc({ result: isDenied ? "denied" : "passed" });
        if (!isDenied) return undefined;
        log.warn("a command was denied", { client, command: command.name });
        connection.write("downstream", `-NOPERM ${command.name} is denied\r\n`);
        return "";
      }),
    };
  },
});
