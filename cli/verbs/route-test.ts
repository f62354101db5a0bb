/** `posthouse route test METHOD URL`. */
import { readFile } from "node:fs/promises";
import { type Command, InvalidArgumentError } from "commander";
import type { ExplainAnswer, ExplainRequest } from "#gateway/api";
import { commandHost, type ControlSettings, controlSettings, withControlCalls } from "../control-client.ts";
import { explanationText } from "../explanation.ts";
import { failUnreadable } from "../input.ts";
import { namespaceOf, withNamespace } from "../namespace.ts";
import { withControl, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import type { Terminal } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";

interface RouteOptions extends Record<string, unknown> {
  readonly header: { name: string; value: string }[];
  readonly peer: string;
  readonly listener: string;
  readonly bearer?: string;
  readonly zone?: string;
  readonly file?: string;
  readonly json?: boolean;
}

export function define(command: Command, { terminal }: VerbContext): void {
  withNamespace(command, "the gateway's config")
    .option("-H, --header <name: value>", "a header of the request; repeatable", header, [])
    .option("--bearer <token>", "the request's bearer token")
    .option("--peer <address>", "address that the request comes from", "127.0.0.1")
    .option("--listener <name>", "the listener that receives it", "default")
    .option("--zone <name>", "zone of the gateway; absent: zones are ignored")
    .option("--file <path>", "use this config instead of the released one")
    .option("--json", "print the whole explanation as JSON");
  withSettings(withControl(command), ["gatewayFilters"]);
  withExamples(command, [
    "posthouse route test GET http://shop.example.com/orders/1",
    "posthouse route test GET http://127.0.0.1/orders --file gateway.yaml",
  ]);
  command.action(async (method: string, url: string, options: RouteOptions) => {
    const { peer, listener, zone, bearer } = options;
    const settings = await controlSettings(options, terminal);
    const token = bearer === undefined ? [] : [{ name: "Authorization", value: `Bearer ${bearer}` }];
    const request: ExplainRequest = {
      method: method.toUpperCase(),
      url,
      headers: [...options.header, ...token],
      peer,
      listener,
      namespace: namespaceOf(command, settings.values.namespace),
      ...(zone === undefined ? {} : { zone }),
    };
    const answer =
      options.file === undefined
        ? await withControlCalls(settings, (client) => client.gateway.explain(request))
        : await explainFile({ options, settings, terminal }, request, options.file);
    terminal.out(options.json ? `${JSON.stringify(answer, null, 2)}\n` : explanationText(answer));
  });
}

interface ExplainParts {
  readonly options: RouteOptions;
  readonly settings: ControlSettings;
  readonly terminal: Terminal;
}

/** Explains with the config of a file. Without a token no endpoint is known; the rest of the explanation is the same. */
async function explainFile(
  { options, settings, terminal }: ExplainParts,
  request: ExplainRequest,
  path: string,
): Promise<ExplainAnswer> {
  const { loadFilters } = await import("#gateway/config-text");
  const { loadExplain } = await import("#gateway/explain");
  const { Explainer } = await loadExplain();
  const { gatewayFilters } = readSettings({ ...options, controlUrls: undefined, token: undefined }, terminal).values;
  const { token } = settings.values;
  const config = () => readFile(path, "utf8").catch(failUnreadable(path));
  const parts = { filters: await loadFilters(gatewayFilters), config };
  const host = commandHost();
  if (token === undefined) return new Explainer(host, { client: undefined, ...parts }).explain(request);
  return withControlCalls(settings, (client) => new Explainer(host, { client, ...parts }).explain(request));
}

function header(text: string, before: { name: string; value: string }[] = []) {
  const colon = text.indexOf(":");
  if (colon < 1) throw new InvalidArgumentError("It must be Name: value.");
  return [...before, { name: text.slice(0, colon).trim(), value: text.slice(colon + 1).trim() }];
}
