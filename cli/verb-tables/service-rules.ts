/** Verbs about the rules between services. */
import type { VerbRow } from "../verb.ts";
import { LOOK } from "./groups.ts";

export const SERVICE_RULE_VERBS: readonly VerbRow[] = [
  {
    path: "rules",
    group: LOOK,
    summary: "show which service may call which, and what the rules denied",
  },
  {
    path: "rules ls",
    summary: "list the rules between the services of a namespace",
    isDefault: true,
    load: () => import("../verbs/rules-ls.ts"),
  },
  {
    path: "rules test",
    args: "<from> <to>",
    summary: "show whether a service may call another, and which rule decides",
    load: () => import("../verbs/rules-test.ts"),
  },
  {
    path: "rules calls",
    summary: "list the calls of the last hour, and what the rules say about each",
    load: () => import("../verbs/rules-calls.ts"),
  },
  {
    path: "rules denials",
    summary: "list the latest connections to services of this host that a rule denied",
    load: () => import("../verbs/rules-denials.ts"),
  },
];
