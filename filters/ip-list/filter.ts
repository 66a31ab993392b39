// Lists of client addresses: who may call, who may not.
import { clientIp, counter, defineFilter, proceed, reply } from "../../sdk/index.ts";
import { parseAddress } from "./addresses.ts";
import { Config } from "./config.ts";

/** Who may call may do so again without being looked up; a refusal is not kept, since each is counted. */
const PASSED = proceed({ cacheMs: 3_600_000 });

export default defineFilter({
  name: "ip-list",
  stage: "authn",
  reads: ["source.ip", "x-forwarded-for"],
  config: Config,
  cacheable: true,
  metrics: { ip_list_refused_total: counter({ help: "Requests from addresses that may not call.", labels: ["list"] }) },
  request(request, { config, metrics }) {
    const { allow, deny, trustedHops, status, shadow } = config;
    const forwardedFor = trustedHops > 0 ? request.headers.get("x-forwarded-for") : null;
    const address = parseAddress(clientIp(request.attribute("source.ip") ?? "", forwardedFor, trustedHops));
    const isDenied = address !== undefined && deny.has(address);
    // No address at all: a list of who may call cannot hold it.
    if (!isDenied && (allow.isEmpty || (address !== undefined && allow.has(address)))) return PASSED;
    metrics.ip_list_refused_total.inc({ list: isDenied ? "deny" : "allow" });
    return shadow ? undefined : reply({ status, body: "access denied" });
  },
});
