/** Names that exist at the control plane or on this host, by kind: for the completion of arguments. */
import type { ControlCalls } from "#client/light";
import { setText } from "./set-name.ts";

type Names = (client: ControlCalls, words: readonly string[], signal: AbortSignal) => Promise<readonly string[]>;

const namespace = "default";

export const LIVE_NAMES: Readonly<Record<string, Names>> = {
  services: async (client, _words, signal) =>
    (await client.registry.services(namespace, { signal })).services.map(({ service }) => service),
  instances: async (client, [service = ""], signal) =>
    (await client.registry.instances({ namespace, service }, { signal })).instances.map(({ id }) => id),
  sets: async (client, _words, signal) => (await client.config.sets(undefined, { signal })).sets.map(setText),
  sources: async (client, _words, signal) => (await client.config.sources({ signal })).sources.map(({ name }) => name),
  locks: async (client, _words, signal) =>
    (await client.locks.list({ namespace }, { signal })).locks.map(({ name }) => name),
  tokens: async (client, _words, signal) => (await client.access.tokens({ signal })).tokens.map(({ id }) => id),
  keys: async (client, [set = ""], signal) => {
    const { parseSetName } = await import("./set-name.ts");
    return Object.keys((await client.config.effective(parseSetName(set), { signal })).items);
  },
  routes: async (client) => {
    const { readGatewayText } = await import("./gateway-text.ts");
    const { routes = [] } = ((await readGatewayText(client, namespace)).document.toJS() ?? {}) as {
      routes?: { name: string }[];
    };
    return routes.map(({ name }) => name);
  },
};
