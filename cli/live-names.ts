/** Names that exist at the control plane or on this host, by kind: for the completion of arguments. */
import type { ControlCalls } from "#client/light";
import { parseSetName, setText } from "./set-name.ts";

interface Asked {
  readonly client: ControlCalls;
  /** The namespace of names without one. */
  readonly namespace: string;
  /** The words before the one that is completed. */
  readonly words: readonly string[];
  readonly signal: AbortSignal;
}
type Names = (asked: Asked) => Promise<readonly string[]>;

export const LIVE_NAMES: Readonly<Record<string, Names>> = {
  services: async ({ client, namespace, signal }) =>
    (await client.registry.services(namespace, { signal })).services.map(({ service }) => service),
  instances: async ({ client, namespace, words: [service = ""], signal }) =>
    (await client.registry.instances({ namespace, service }, { signal })).instances.map(({ id }) => id),
  sets: async ({ client, signal }) => (await client.config.sets(undefined, { signal })).sets.map(setText),
  sources: async ({ client, signal }) => (await client.config.sources({ signal })).sources.map(({ name }) => name),
  locks: async ({ client, namespace, signal }) =>
    (await client.locks.list({ namespace }, { signal })).locks.map(({ name }) => name),
  tokens: async ({ client, signal }) => (await client.access.tokens({ signal })).tokens.map(({ id }) => id),
  policies: async ({ client, signal }) => (await client.access.policies({ signal })).policies.map(({ name }) => name),
  bindings: async ({ client, signal }) =>
    (await client.access.bindings({ signal })).bindings.map(({ subject }) => subject),
  "sign-ins": async ({ client, signal }) => (await client.access.signIns({ signal })).signIns.map(({ id }) => id),
  certificates: async ({ client, signal }) =>
    (await client.identity.certificates({ signal })).certificates.map(({ serial }) => serial),
  "join-tokens": async ({ client, signal }) =>
    (await client.identity.joinTokens({ signal })).joinTokens.map(({ id }) => id),
  "node-kinds": async () => ["agent", "gateway"],
  nodes: async ({ client, words: [wanted], signal }) =>
    (await client.identity.nodes({ signal })).nodes.flatMap(({ kind, name }) => (kind === wanted ? [name] : [])),
  keys: async ({ client, namespace, words: [set = ""], signal }) =>
    Object.keys((await client.config.effective(parseSetName(set, undefined, namespace), { signal })).items),
  proposals: async ({ client, namespace, words: [set = ""], signal }) => {
    const { proposals } = await client.config.proposals(parseSetName(set, undefined, namespace), { signal });
    return proposals.filter(({ state }) => state === "open").map(({ id }) => id);
  },
  routes: async ({ client, namespace }) => {
    const { readGatewayText } = await import("./gateway-text.ts");
    const { routes = [] } = ((await readGatewayText(client, namespace)).document.toJS() ?? {}) as {
      routes?: { name: string }[];
    };
    return routes.map(({ name }) => name);
  },
};
