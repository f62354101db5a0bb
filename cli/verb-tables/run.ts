/** Verbs that run posthouse, or a command of one's own beside it. */
import type { VerbRow } from "../verb.ts";
import { COMMANDS, RUN } from "./groups.ts";

export const RUN_VERBS: readonly VerbRow[] = [
  {
    path: "up",
    group: RUN,
    summary: "run posthouse: all roles in one process, unless --roles names some",
    load: () => import("../verbs/up.ts"),
  },
  {
    path: "operator-token",
    group: RUN,
    summary: "issue a new operator token from the data folder, when the first one is lost",
    load: () => import("../verbs/operator-token.ts"),
  },
  {
    path: "store",
    group: RUN,
    summary: "maintain the embedded store",
  },
  {
    path: "store repair",
    summary: "keep the intact part of a damaged store, and list what is dropped; stop the server first",
    load: () => import("../verbs/store-repair.ts"),
  },
  {
    path: "secret-key",
    group: RUN,
    summary: "keys that encrypt secrets of configs",
  },
  {
    path: "secret-key generate",
    summary: "print a new key as a line of a key file; the first line is used to encrypt",
    load: () => import("../verbs/secret-key-generate.ts"),
  },
  {
    path: "gateway-worker",
    summary: "one worker process of a gateway; started by posthouse itself",
    hidden: true,
    load: () => import("../verbs/gateway-worker.ts"),
  },
];

export const COMMAND_VERBS: readonly VerbRow[] = [
  {
    path: "lock",
    args: "<name> <command...>",
    group: COMMANDS,
    summary: "run a command while holding a lock; it ends when the lock is lost",
    load: () => import("../verbs/lock.ts"),
  },
  {
    path: "exec",
    args: "<command...>",
    group: COMMANDS,
    summary: "run a command with config as its environment",
    load: () => import("../verbs/exec.ts"),
  },
  {
    path: "agent",
    group: RUN,
    summary: "the agent of this host: join, run, state, and commands with it",
  },
  {
    path: "agent join",
    args: "<url...>",
    summary: "let this host join a control plane with a join token",
    load: () => import("../verbs/agent-join.ts"),
  },
  {
    path: "agent run",
    summary: "run the agent alone, as up --roles agent does",
    load: () => import("../verbs/agent-run.ts"),
  },
  {
    path: "agent status",
    summary: "show the agent of this host: its identity, services, files and problems",
    load: () => import("../verbs/agent-status.ts"),
  },
  {
    path: "agent exec",
    args: "<command...>",
    summary: "run a command with config as its environment",
    load: () => import("../verbs/exec.ts"),
  },
];
