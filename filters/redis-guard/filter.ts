// Redis' commands by list: those that may not reach it are answered here, in their place among Redis' own replies.
import { counter, defineFilter, respCommands, respReplies, type RespCommand } from "../../sdk/index.ts";
import { countKeys, labelOf } from "./commands.ts";
import { config } from "./config.ts";
import { ReplyOrder } from "./reply-order.ts";
import { compilePrefixes, compileRules } from "./rules.ts";

/** What Redis refuses for its arguments, and then the whole transaction: as its own ACLs have it. */
const WRONG = "*1\r\n$3\r\nGET\r\n";
const UNPRINTABLE = /[^\x21-\x7e]/gu;

export default defineFilter({
  name: "redis-guard",
  stage: "authz",
  config,
  metrics: {
    redis_commands_total: counter({
      help: "Commands, by name and what became of them.",
      labels: ["command", "verdict"],
    }),
    redis_keys_total: counter({ help: "Keys of commands that went on, by prefix of the first.", labels: ["prefix"] }),
  },
  setup: (c) => ({ allows: compileRules(c.config), prefixOf: compilePrefixes(c.config) }),
  tcp(connection, { state, metrics }) {
    const order = new ReplyOrder();

    function count(command: RespCommand): void {
      const { name, args, count: given } = command;
      metrics.redis_commands_total.inc({ command: labelOf(name), verdict: "allowed" });
      const keys = countKeys(name, given);
      if (keys > 0) metrics.redis_keys_total.add(keys, { prefix: state.prefixOf(args[0] ?? "") });
    }

    return {
      downstream: respCommands({ argumentsMax: 2 }, (command) => {
        if (state.allows(command, order.isTransaction)) {
          order.passed(command);
          count(command);
          return undefined;
        }
        metrics.redis_commands_total.inc({ command: labelOf(command.name), verdict: "denied" });
        const name = command.name.toLowerCase().slice(0, 64).replaceAll(UNPRINTABLE, "?");
        const answer = `-NOPERM this connection may not run the '${name}' command\r\n`;
        if (order.isTransaction) {
          order.swapped(answer);
          return WRONG;
        }
        connection.write("downstream", order.denied(answer));
        return "";
      }),
      upstream: respReplies(
        (reply) => connection.write("downstream", order.replied(reply)),
        (type) => order.isSwapped(type),
      ),
    };
  },
});
