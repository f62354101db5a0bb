/** Verbs about routes and gateways. */
import type { VerbRow } from "../verb.ts";
import { CHANGE, LOOK } from "./groups.ts";

export const GATEWAY_VERBS: readonly VerbRow[] = [
  {
    path: "route",
    aliases: ["routes"],
    group: LOOK,
    summary: "list, change and explain routes",
  },
  {
    path: "route ls",
    summary: "list the routes of the released gateway config",
    isDefault: true,
    load: () => import("../verbs/route-ls.ts"),
  },
  {
    path: "route add",
    args: "<name>",
    summary: "add a route to the released gateway config",
    load: () => import("../verbs/route-add.ts"),
  },
  {
    path: "route rm",
    args: "<name>",
    summary: "remove a route from the released gateway config",
    load: () => import("../verbs/route-rm.ts"),
  },
  {
    path: "route test",
    aliases: ["explain"],
    args: "<method> <url>",
    summary: "show how the gateways would handle a request, and why; nothing is sent",
    load: () => import("../verbs/route-test.ts"),
  },
  {
    path: "gateway",
    group: CHANGE,
    summary: "check a gateway config, generate an API key",
  },
  {
    path: "gateway validate",
    args: "<file>",
    summary: "check a gateway config as a release would, with line and column",
    load: () => import("../verbs/gateway-validate.ts"),
  },
  {
    path: "gateway key",
    summary: "generate an API key for a consumer, and the hash for the config",
    load: () => import("../verbs/gateway-key.ts"),
  },
];
