/** The kinds of resources, in the order in which they are applied. They are removed in the opposite order. */
import { accessBinding } from "./binding.ts";
import { configSet } from "./config-set.ts";
import { environmentRules } from "./environment-rules.ts";
import { staticInstance } from "./instance.ts";
import { flagSet, gatewayConfig, type KeyKind } from "./key-kinds.ts";
import type { ResourceKind } from "./kind.ts";
import { accessPolicy } from "./policy.ts";
import { servicePolicy } from "./service-policy.ts";
import { accessToken } from "./token.ts";

export const RESOURCE_KINDS: readonly ResourceKind[] = [
  environmentRules,
  accessPolicy,
  accessBinding,
  accessToken,
  servicePolicy,
  staticInstance,
  configSet,
];
/** Kinds that are written as a part of a ConfigSet. */
export const KEY_KINDS: readonly KeyKind[] = [flagSet, gatewayConfig];
