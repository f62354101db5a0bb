/** Every verb. A new verb is a row in `verb-tables/` and a file in `verbs/`, which is loaded only when used. */
import type { VerbRow } from "./verb.ts";
import { ACCESS_VERBS } from "./verb-tables/access.ts";
import { CONFIG_CHANGE_VERBS } from "./verb-tables/config-changes.ts";
import { CONFIG_VERBS } from "./verb-tables/config.ts";
import { GATEWAY_VERBS } from "./verb-tables/gateway.ts";
import { IDENTITY_VERBS } from "./verb-tables/identity.ts";
import { OPERATION_VERBS } from "./verb-tables/operations.ts";
import { POLICY_VERBS } from "./verb-tables/policies.ts";
import { COMMAND_VERBS, RUN_VERBS } from "./verb-tables/run.ts";
import { SERVICE_RULE_VERBS } from "./verb-tables/service-rules.ts";
import { SERVICE_VERBS } from "./verb-tables/services.ts";

export const VERBS: readonly VerbRow[] = [
  ...RUN_VERBS,
  ...SERVICE_VERBS,
  ...CONFIG_VERBS,
  ...CONFIG_CHANGE_VERBS,
  ...GATEWAY_VERBS,
  ...ACCESS_VERBS,
  ...POLICY_VERBS,
  ...IDENTITY_VERBS,
  ...SERVICE_RULE_VERBS,
  ...COMMAND_VERBS,
  ...OPERATION_VERBS,
];
