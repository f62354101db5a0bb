/** The two things an agent follows at the server: effective configs, and the instances of services. */
import type { Host } from "#base";
import type { Client } from "#client";
import type { ServiceDelta } from "#registry/api";
import type { EffectiveConfig, Instance, Resolved } from "./api.ts";
import { WatchCache } from "./watch-cache.ts";

/** What the agent needs of the control plane's client. */
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

/** Every frame of a config is the whole of it. */
export function configCache(host: Host, client: ControlPlane, onChange: (name: ConfigName) => void): ConfigCache {
  return new WatchCache<ConfigName, EffectiveConfig, EffectiveConfig>(host, {
    what: "config",
    keyOf: ({ namespace, app, profile }) => `${namespace}/${app}/${profile}`,
    fold: { gather: (_gathered, data) => data, apply: (_value, data) => data, empty: undefined },
    watch: (name, options) => client.config.watch(name, options),
    onChange,
  });
}

export function catalogCache(host: Host, client: ControlPlane, onChange: () => void): CatalogCache {
  return new WatchCache<ServiceName, Resolved, ServiceDelta>(host, {
    what: "service",
    keyOf: ({ namespace, service }) => `${namespace}/${service}`,
    fold: { gather: withDelta, apply: withDelta, empty: undefined },
    watch: ({ namespace, service }, options) => client.registry.watch({ namespace, services: [service] }, options),
    onChange,
  });
}

function withDelta(known: Resolved | undefined, { namespace, service, instances, removed }: ServiceDelta): Resolved {
  const byId = new Map((known?.instances ?? []).map((instance) => [instance.id, instance]));
  for (const id of removed) byId.delete(id);
  for (const instance of instances) byId.set(instance.id, instance);
  return { namespace, service, instances: [...byId.values()] };
}

/** Whether requests may be sent to it: alive and not on its way out. */
export function isHealthy({ status, draining }: Instance): boolean {
  return !draining && (status === "passing" || status === "warning");
}
