/** Verbs about services, instances and who registered them. */
import type { VerbRow } from "../verb.ts";
import { CHANGE, LOOK } from "./groups.ts";

export const SERVICE_VERBS: readonly VerbRow[] = [
  {
    path: "services",
    aliases: ["service"],
    group: LOOK,
    summary: "list services and their health; register, drain, weigh and watch instances",
  },
  {
    path: "services ls",
    summary: "list services and their health",
    isDefault: true,
    load: () => import("../verbs/services.ts"),
  },
  {
    path: "services show",
    args: "<service>",
    summary: "show one service: its counts, its policy and its instances",
    load: () => import("../verbs/services-show.ts"),
  },
  {
    path: "services register",
    args: "<service> <id> <address>",
    summary: "register an instance, or replace its registration",
    load: () => import("../verbs/services-register.ts"),
  },
  {
    path: "services deregister",
    args: "<service> <id>",
    summary: "deregister an instance, with --drain after every subscriber has seen it drain",
    load: () => import("../verbs/deregister.ts"),
  },
  {
    path: "services drain",
    args: "<service> <id>",
    summary: "take an instance out of rotation, and wait until every subscriber has seen that",
    load: () => import("../verbs/services-drain.ts"),
  },
  {
    path: "services weight",
    args: "<service> <id> <weight>",
    summary: "change how large a part of the requests an instance receives",
    load: () => import("../verbs/services-weight.ts"),
  },
  {
    path: "services policy",
    summary: "read and change the policy of a service",
  },
  {
    path: "services policy get",
    args: "<service>",
    summary: "print the policy of a service",
    isDefault: true,
    load: () => import("../verbs/services-policy.ts"),
  },
  {
    path: "services policy set",
    args: "<service> [file]",
    summary: "replace the policy of a service by a file, or by standard input",
    load: () => import("../verbs/services-policy-set.ts"),
  },
  {
    path: "services policy rm",
    args: "<service>",
    summary: "delete the policy of a service, so that the defaults apply",
    load: () => import("../verbs/services-policy-rm.ts"),
  },
  {
    path: "services watch",
    args: "[service]",
    summary: "print one line per change of an instance",
    load: () => import("../verbs/services-watch.ts"),
  },
  {
    path: "instances",
    args: "<service>",
    group: LOOK,
    summary: "list the instances of a service",
    load: () => import("../verbs/instances.ts"),
  },
  {
    path: "health",
    args: "[service] [id]",
    group: LOOK,
    summary: "list health checks, the worst first; for one instance with their output",
    load: () => import("../verbs/health.ts"),
  },
  {
    path: "members",
    group: LOOK,
    summary: "list members of the control plane",
    load: () => import("../verbs/members.ts"),
  },
  {
    path: "agents",
    group: LOOK,
    summary: "list agents and what they registered",
    load: () => import("../verbs/agents.ts"),
  },
  {
    path: "gateways",
    group: LOOK,
    summary: "list gateways and the config that each runs",
    load: () => import("../verbs/gateways.ts"),
  },
  {
    path: "deregister",
    args: "<service> <id>",
    group: CHANGE,
    summary: "deregister an instance, with --drain after every subscriber has seen it drain",
    load: () => import("../verbs/deregister.ts"),
  },
];
