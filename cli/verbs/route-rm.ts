/** `posthouse route rm NAME`: removes a route from the released gateway config. */
import type { Command } from "commander";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { indexOfRoute, readGatewayText, releaseGatewayText, routesIn } from "../gateway-text.ts";
import { withNamespace } from "../namespace.ts";
import { casOption, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the gateway's config")
    .option("--cas <version>", "only if this is the live version of the config", casOption)
    .option("--dry-run", "only check the config and show the difference")
    .option("--reason <text>", "reason of the release, shown in the history");
  withExamples(command, ["posthouse route rm orders --dry-run"]);
  controlAction(command, context, async ({ client, args: [name = ""], options, terminal }) => {
    const text = await readGatewayText(client, String(options["namespace"]));
    const routes = routesIn(text);
    const at = indexOfRoute(routes, name);
    if (at < 0) throw CliErrors.NOT_FOUND(`Route "${name}" does not exist. List them with: posthouse route ls`);
    routes.items.splice(at, 1);
    const { cas, reason } = options as { cas?: number; reason?: string };
    await releaseGatewayText({ client, terminal, text, cas, reason, isDryRun: options["dryRun"] === true });
  });
}
