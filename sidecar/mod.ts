/** The sidecar: mTLS between services that have no TLS of their own, and rules for which service may call which. */
export { NO_RULES, readServiceRules, RULES_KEY, RULES_SET } from "./core/service-rules.ts";
export type { RulesText } from "./rules-feed.ts";
export type { IngressRefusal } from "./ingress.ts";
export { Sidecar, type HeldIdentitySource, type MeshService, type SidecarView } from "./sidecar.ts";
