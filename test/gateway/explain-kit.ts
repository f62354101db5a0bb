/** A control API that explains requests and checks gateway configs, as a server does. */
import { Client, injectTransport } from "#client";
import { builtInFilters, gatewayReleaseCheck } from "#gateway";
import { testHost, type TestControlOptions } from "#test/kit";
import { Explainer, explainPlugin, gatewayCheckPlugin } from "../../gateway/explain/plugin.ts";

/** Options for `withControl`. */
export function withExplainer(): TestControlOptions & Required<Pick<TestControlOptions, "host">> {
  const host = testHost();
  return {
    host,
    releaseChecks: [gatewayReleaseCheck],
    extend: (app, access) => {
      const token = access.internalToken({ name: "explain", policies: ["viewer"] });
      const client = new Client(host, { transport: injectTransport(app), token });
      const explainer = new Explainer(host, { client, filters: builtInFilters });
      explainPlugin(app, explainer);
      gatewayCheckPlugin(app, explainer);
    },
  };
}
