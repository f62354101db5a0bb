/** Facts behind the routes of service rules: the released rules of a namespace, and the calls that were observed. */
import type { FastifyInstance } from "fastify";
import type { ConfigServer } from "#config-server";
import { serviceRulesPlugin } from "#sidecar/control";
import { RULES_KEY, RULES_SET } from "#sidecar/rules";
import type { Traffic } from "#traffic";

export function serviceRulesRoutes(
  app: FastifyInstance,
  { config, traffic }: { readonly config: ConfigServer; readonly traffic: Traffic },
): void {
  serviceRulesPlugin(app, {
    released: (namespace) => config.effective({ namespace, ...RULES_SET }).items[RULES_KEY]?.value,
    calls: (namespace) => traffic.callsTo(namespace),
  });
}
