/** Verbs for operators, and about the program itself. */
import type { VerbRow } from "../verb.ts";
import { LOOK, MORE } from "./groups.ts";

export const OPERATION_VERBS: readonly VerbRow[] = [
  {
    path: "status",
    group: LOOK,
    summary: "show the control plane at a glance",
    load: () => import("../verbs/status.ts"),
  },
  {
    path: "completion",
    args: "<shell>",
    group: MORE,
    summary: "print a completion script for bash, zsh or fish",
    load: () => import("../verbs/completion.ts"),
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
