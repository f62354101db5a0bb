/** Verbs for operators, and about the program itself. */
import type { VerbRow } from "../verb.ts";
import { CHANGE, LOOK, MORE } from "./groups.ts";

export const OPERATION_VERBS: readonly VerbRow[] = [
  {
    path: "status",
    group: LOOK,
    summary: "show the control plane at a glance",
    load: () => import("../verbs/status.ts"),
  },
  {
    path: "top",
    group: LOOK,
    summary: "show services and routes live",
    load: () => import("../verbs/top.ts"),
  },
  {
    path: "timeline",
    group: LOOK,
    summary: "list what changed, the newest first, such as before an incident",
    load: () => import("../verbs/timeline.ts"),
  },
  {
    path: "doctor",
    group: LOOK,
    summary: "look for problems of this host and of the server, and say what to do",
    load: () => import("../verbs/doctor.ts"),
  },
  {
    path: "plan",
    group: CHANGE,
    summary: "show what an apply of resources would change",
    load: () => import("../verbs/plan.ts"),
  },
  {
    path: "diff",
    group: CHANGE,
    summary: "show what an apply of resources would change; with --exit-code for scripts",
    load: () => import("../verbs/plan.ts"),
  },
  {
    path: "apply",
    group: CHANGE,
    summary: "create, change and remove resources as files describe them",
    load: () => import("../verbs/apply.ts"),
  },
  {
    path: "convert",
    args: "<product> <export>",
    group: CHANGE,
    summary: "turn an export of Consul, Nacos, Apollo, Spring Cloud Config or Kong into config to import",
    load: () => import("../verbs/convert.ts"),
  },
  {
    path: "bench",
    args: "<target>",
    group: MORE,
    summary: "measure a running server: registry, config or gateway",
    load: () => import("../verbs/bench.ts"),
  },
  {
    path: "completion",
    args: "<shell>",
    group: MORE,
    summary: "print a completion script for bash, zsh or fish",
    load: () => import("../verbs/completion.ts"),
  },
  {
    path: "__complete",
    args: "<kind> [words...]",
    summary: "live names for the completion of a shell",
    hidden: true,
    load: () => import("../verbs/complete.ts"),
  },
  {
    path: "man",
    group: MORE,
    summary: "print the manual page posthouse(1)",
    load: () => import("../verbs/man.ts"),
  },
  {
    path: "cheat",
    args: "[topic]",
    group: MORE,
    summary: "print commands for common tasks",
    load: () => import("../verbs/cheat.ts"),
  },
  {
    path: "version",
    group: MORE,
    summary: "print the version",
    load: () => import("../verbs/version.ts"),
  },
];
