/** The released config of a gateway as a YAML document, so that a changed route leaves comments and the order as they are. */
import { parseDocument, type Document, type YAMLSeq, isMap, isSeq } from "yaml";
import { own } from "#base";
import type { ControlCalls } from "#client/light";
import type { SetName } from "#config-server/api";
import { showDifference } from "./config-report.ts";
import { itemOf, liveSet, releaseChanged } from "./live-set.ts";
import { CliErrors } from "./errors.ts";
import { planKey } from "./plan-key.ts";
import { setText } from "./set-name.ts";
import type { Terminal } from "./terminal.ts";

/** As the gateway's contract names them; loading that costs more than a call. A test compares the two. */
const GATEWAY_SET = { app: "gateway", profile: "default" } as const;
const GATEWAY_CONFIG_KEY = "gateway.yaml";

export interface GatewayText {
  readonly set: SetName;
  readonly version: number;
  readonly document: Document;
}

export async function readGatewayText(client: ControlCalls, namespace: string): Promise<GatewayText> {
  const set = { namespace, ...GATEWAY_SET };
  const { version, items } = await liveSet(client, set);
  const document = parseDocument(own(items, GATEWAY_CONFIG_KEY)?.value ?? "");
  const [error] = document.errors;
  if (error)
    throw CliErrors.RESOURCE_INVALID(`${setText(set)}: ${GATEWAY_CONFIG_KEY} is not valid YAML: ${error.message}`);
  return { set, version, document };
}

/** The routes of a config, as a list that can be changed. */
export function routesIn({ document }: GatewayText): YAMLSeq {
  const routes = document.get("routes", true);
  if (isSeq(routes)) return routes;
  const fresh = document.createNode([]) as YAMLSeq;
  document.set("routes", fresh);
  return fresh;
}

/** The position of a route by its name; -1 without one. */
export function indexOfRoute(routes: YAMLSeq, name: string): number {
  return routes.items.findIndex((item) => isMap(item) && item.get("name") === name);
}

export interface GatewayChange {
  readonly client: ControlCalls;
  readonly terminal: Terminal;
  readonly text: GatewayText;
  readonly cas: number | undefined;
  readonly reason: string | undefined;
  readonly isDryRun: boolean;
}

/** Releases the changed config if the version that was read is still live; as a dry run, only checks and shows it. */
export async function releaseGatewayText(change: GatewayChange): Promise<void> {
  const { client, terminal, text, cas, reason, isDryRun } = change;
  const { set, version, document } = text;
  if (cas !== undefined && cas !== version) {
    throw CliErrors.CONFLICT(`${setText(set)} has version ${version}, but --cas is ${cas}. Read it again.`);
  }
  const bytes = Buffer.from(document.toString());
  if (isDryRun) return planKey({ client, terminal, set }, GATEWAY_CONFIG_KEY, bytes);
  const items = { [GATEWAY_CONFIG_KEY]: await itemOf(GATEWAY_CONFIG_KEY, bytes) };
  const done = await releaseChanged(client, set, { items, cas: version, ...(reason === undefined ? {} : { reason }) });
  terminal.out(`${setText(set)}@${done.version} is released\n`);
  const { differences } = await client.config.diff(set, { from: version === 0 ? "1" : String(version), to: "live" });
  for (const difference of differences) showDifference(terminal, difference);
}
