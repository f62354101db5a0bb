/** `posthouse route add NAME`: adds a route to the released gateway config, or replaces the one of that name. */
import { type Command, InvalidArgumentError } from "commander";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { indexOfRoute, readGatewayText, releaseGatewayText, routesIn } from "../gateway-text.ts";
import { withNamespace } from "../namespace.ts";
import { casOption, givenOnly, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

interface AddOptions extends Record<string, unknown> {
  readonly namespace: string;
  readonly host?: string[];
  readonly pathPrefix?: string;
  readonly path?: string;
  readonly method?: string[];
  readonly service?: string;
  readonly cluster?: string;
  readonly jwt?: string;
  readonly priority?: number;
  readonly before?: string;
  readonly replace?: boolean;
  readonly cas?: number;
  readonly reason?: string;
  readonly dryRun?: boolean;
}

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the gateway's config")
    .option("--host <names...>", "hosts of the requests; absent: any")
    .option("--path-prefix <path>", "begin of the path, by whole segments")
    .option("--path <path>", "the exact path")
    .option("--method <names...>", "methods; absent: the common ones")
    .option("--service <name>", "service that receives the requests")
    .option("--cluster <name>", "cluster of the config that receives them")
    .option("--jwt <provider>", "require a token of this provider of the config")
    .option("--priority <number>", "routes with a higher number come first", priority)
    .option("--before <route>", "insert it before this route; absent: at the end")
    .option("--replace", "replace the route of that name")
    .option("--cas <version>", "only if this is the live version of the config", casOption)
    .option("--dry-run", "only check the config and show the difference")
    .option("--reason <text>", "reason of the release, shown in the history");
  withExamples(command, [
    "posthouse route add orders --path-prefix /orders --service orders",
    "posthouse route add shop --host shop.example.com --path-prefix / --service shop --jwt main --dry-run",
  ]);
  controlAction<Record<string, unknown>>(
    command,
    context,
    async ({ client, args: [name = ""], options, terminal }, route) => {
      const { namespace, before, replace, cas, reason, dryRun } = options as AddOptions;
      const text = await readGatewayText(client, namespace);
      const routes = routesIn(text);
      const at = indexOfRoute(routes, name);
      if (at >= 0 && !replace) {
        throw CliErrors.CONFLICT(`Route "${name}" exists already. Replace it with --replace, or remove it first.`);
      }
      const node = text.document.createNode(route);
      const position = before === undefined ? routes.items.length : indexOfRoute(routes, before);
      if (position < 0) throw CliErrors.NOT_FOUND(`Route "${before}" of --before does not exist.`);
      if (at >= 0) routes.items[at] = node;
      else routes.items.splice(position, 0, node);
      await releaseGatewayText({ client, terminal, text, cas, reason, isDryRun: dryRun === true });
    },
    ([name = ""], options) => routeOf(name, options as AddOptions),
  );
}

function routeOf(name: string, options: AddOptions): Record<string, unknown> {
  const { host, pathPrefix, path, method, service, cluster, jwt, priority } = options;
  if ((service === undefined) === (cluster === undefined)) {
    throw CliErrors.ARGUMENT_INVALID("A route needs one target: give --service or --cluster.");
  }
  if (pathPrefix !== undefined && path !== undefined) {
    throw CliErrors.ARGUMENT_INVALID("A route has one path: give --path-prefix or --path, not both.");
  }
  const paths = pathPrefix !== undefined ? { prefix: pathPrefix } : path !== undefined ? { exact: path } : undefined;
  return {
    name,
    match: givenOnly({ hosts: host, path: paths, methods: method?.map((one) => one.toUpperCase()) }),
    ...givenOnly({ service, cluster, priority }),
    ...(jwt === undefined ? {} : { jwt: { provider: jwt } }),
  };
}

function priority(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && Math.abs(value) <= 1000) return value;
  throw new InvalidArgumentError("It must be a whole number from -1000 to 1000.");
}
