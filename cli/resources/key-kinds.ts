/** Kinds that are one key of a config set: a gateway's config, and a set of feature flags. They are planned as a ConfigSet. */
import { stringify } from "yaml";
import { GATEWAY_APP, GATEWAY_KEY, GATEWAY_PROFILE, GatewayConfig } from "#gateway/api";
import type { ConfigSetSpec } from "./config-set.ts";
import type { Metadata } from "./kind.ts";

/** The key of a set that has its feature flags. */
const FLAGS_KEY = "flags.yaml";

export interface KeyKind {
  readonly kind: string;
  readonly description: string;
  readonly metadata: readonly ("name" | "name?" | "profile?")[];
  readonly schema: () => Promise<object>;
  /** The set and the key that it is. */
  readonly lower: (metadata: Metadata, spec: unknown) => { readonly metadata: Metadata; readonly spec: ConfigSetSpec };
}

export const gatewayConfig: KeyKind = {
  kind: "GatewayConfig",
  description: "The whole config of the gateways of a namespace: listeners, routes, clusters, consumers.",
  metadata: ["name?"],
  schema: async () => GatewayConfig,
  lower: ({ namespace }, spec) => ({
    metadata: { namespace, name: GATEWAY_APP, profile: GATEWAY_PROFILE },
    spec: { keys: { [GATEWAY_KEY]: stringify(spec) } },
  }),
};

export const flagSet: KeyKind = {
  kind: "FlagSet",
  description: "The feature flags of an app, as in its key flags.yaml (flags.schema.json). The server checks them.",
  metadata: ["name", "profile?"],
  schema: async () => ({ type: "object" }),
  lower: (metadata, spec) => ({ metadata, spec: { keys: { [FLAGS_KEY]: stringify(spec) } } }),
};
