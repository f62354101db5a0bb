/** The two kinds of values that an agent follows at the server: effective configs, and the instances of services. */
import type { Host } from "#base";
import type { Client } from "#client";
import { isOlder } from "#config-server/api";
import type { ServiceDelta } from "#registry/api";
import type { EffectiveConfig, Resolved } from "./api.ts";
import { WatchCache } from "./watch-cache.ts";

/** As much of the control plane's client as the agent uses. */
export type ControlPlane = Pick<Client, "registry" | "config">;

export interface ConfigName {
  readonly namespace: string;
  readonly app: string;
  readonly profile: string;
}

export interface ServiceName {
  readonly namespace: string;
  readonly service: string;
}

export type ConfigCache = WatchCache<ConfigName, EffectiveConfig, EffectiveConfig>;
export type CatalogCache = WatchCache<ServiceName, Resolved, ServiceDelta>;

/** Every frame of a config holds the whole config. */
export function configCache(
  host: Host,
  { client, node, labels }: { client: ControlPlane; node: string; labels: Readonly<Record<string, string>> },
  { onChange, onHeld }: { onChange: (name: ConfigName) => void; onHeld: (name: ConfigName) => void },
): ConfigCache {
  const cache = new WatchCache<ConfigName, EffectiveConfig, EffectiveConfig>(host, {
    what: "config",
    keyOf: ({ namespace, app, profile }) => `${namespace}/${app}/${profile}`,
    fold: { gather: (_gathered, data) => data, apply: (_value, data) => data, empty: undefined },
    // Configs of files are acknowledged once the files are current; configs that are only forwarded, as soon as they arrive.
    watch: (name, { pinned, ...options }) =>
      client.config.watch(name, { ...options, instance: { id: node, labels }, acknowledge: !pinned }),
    onChange,
    onHeld,
    isOlder,
  });
  host.metrics.gauge({
    name: "posthouse_agent_configs_held",
    help: "Configs for which the server has an older one than this host, which the agent does not accept.",
    collect: (gauge) => gauge.labels().set(cache.held().length),
  });
  return cache;
}

/** The rules between services: configs of their own, acknowledged as soon as they arrive. */
export function rulesCache(
  host: Host,
  { client, node, labels }: { client: ControlPlane; node: string; labels: Readonly<Record<string, string>> },
  onChange: (name: ConfigName) => void,
): ConfigCache {
  return new WatchCache<ConfigName, EffectiveConfig, EffectiveConfig>(host, {
    what: "rules",
    keyOf: ({ namespace, app, profile }) => `${namespace}/${app}/${profile}`,
    fold: { gather: (_gathered, data) => data, apply: (_value, data) => data, empty: undefined },
    watch: (name, { signal, onState }) =>
      client.config.watch(name, { signal, onState, instance: { id: node, labels }, acknowledge: true }),
    onChange,
    isOlder,
  });
}

export function catalogCache(host: Host, client: ControlPlane, onChange: (name: ServiceName) => void): CatalogCache {
  return new WatchCache<ServiceName, Resolved, ServiceDelta>(host, {
    what: "service",
    keyOf: ({ namespace, service }) => `${namespace}/${service}`,
    fold: { gather: withDelta, apply: withDelta, empty: undefined, together },
    watch: ({ namespace, service }, options) => client.registry.watch({ namespace, services: [service] }, options),
    onChange,
  });
}

function withDelta(known: Resolved | undefined, delta: ServiceDelta): Resolved {
  const { namespace, service, instances, removed, panic, reason } = delta;
  const byId = new Map((known?.instances ?? []).map((instance) => [instance.id, instance]));
  for (const id of removed) byId.delete(id);
  for (const instance of instances) byId.set(instance.id, instance);
  const list = [...byId.values()];
  return { namespace, service, instances: list, panic, ...(reason === undefined ? {} : { reason }) };
}

/** The known instances, overridden by those of a server that has just started. */
function together(known: Resolved, cold: Resolved): Resolved {
  const ids = new Set(cold.instances.map(({ id }) => id));
  return { ...cold, instances: [...known.instances.filter(({ id }) => !ids.has(id)), ...cold.instances] };
}
