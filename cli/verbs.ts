/** Every verb in one table. A new verb is a row here and a file in `verbs/`, which is loaded only when used. */
import type { VerbRow } from "./verb.ts";

const RUN = "Run";
const LOOK = "Look";
const CHANGE = "Change";
const COMMANDS = "Run your own command";
const MORE = "More";

export const VERBS: readonly VerbRow[] = [
  {
    path: "up",
    group: RUN,
    summary: "run posthouse: all roles in one process, unless --roles names some",
    load: () => import("./verbs/up.ts"),
  },
  {
    path: "operator-token",
    group: RUN,
    summary: "issue a new operator token from the data folder, when the first one is lost",
    load: () => import("./verbs/operator-token.ts"),
  },
  { path: "store", group: RUN, summary: "maintain the embedded store" },
  {
    path: "store repair",
    summary: "keep the intact part of a damaged store, and list what is dropped; stop the server first",
    load: () => import("./verbs/store-repair.ts"),
  },
  { path: "secret-key", group: RUN, summary: "keys that encrypt secrets of configs" },
  {
    path: "secret-key generate",
    summary: "print a new key as a line of a key file; the first line is used to encrypt",
    load: () => import("./verbs/secret-key-generate.ts"),
  },
  {
    path: "gateway-worker",
    summary: "one worker process of a gateway; started by posthouse itself",
    hidden: true,
    load: () => import("./verbs/gateway-worker.ts"),
  },

  {
    path: "services",
    group: LOOK,
    summary: "list services and their health",
    load: () => import("./verbs/services.ts"),
  },
  {
    path: "instances",
    args: "<service>",
    group: LOOK,
    summary: "list the instances of a service",
    load: () => import("./verbs/instances.ts"),
  },
  {
    path: "health",
    args: "[service] [id]",
    group: LOOK,
    summary: "list health checks, the worst first; for one instance with their output",
    load: () => import("./verbs/health.ts"),
  },
  {
    path: "members",
    group: LOOK,
    summary: "list members of the control plane",
    load: () => import("./verbs/members.ts"),
  },
  {
    path: "agents",
    group: LOOK,
    summary: "list agents and what they registered",
    load: () => import("./verbs/agents.ts"),
  },
  {
    path: "gateways",
    group: LOOK,
    summary: "list gateways and the config that each runs",
    load: () => import("./verbs/gateways.ts"),
  },
  {
    path: "locks",
    group: LOOK,
    summary: "list locks, their holders and queues",
    load: () => import("./verbs/locks.ts"),
  },
  {
    path: "rollouts",
    args: "[set]",
    group: LOOK,
    summary: "list gradual releases under way, or the history of one set",
    load: () => import("./verbs/rollouts.ts"),
  },
  { path: "route", group: LOOK, summary: "explain routing" },
  {
    path: "route test",
    args: "<method> <url>",
    summary: "show how the gateways would handle a request, and why; nothing is sent",
    load: () => import("./verbs/route-test.ts"),
  },

  {
    path: "deregister",
    args: "<service> <id>",
    group: CHANGE,
    summary: "deregister an instance, with --drain after every subscriber has seen it drain",
    load: () => import("./verbs/deregister.ts"),
  },
  { path: "config", group: CHANGE, summary: "read and release config, one set or many at a time" },
  {
    path: "config releases",
    summary: "list the live release of every set",
    load: () => import("./verbs/config-releases.ts"),
  },
  {
    path: "config get",
    args: "<set> [key]",
    summary: "print the effective config of an instance: its keys, or one value",
    load: () => import("./verbs/config-get.ts"),
  },
  {
    path: "config put",
    args: "<set> <key> [file]",
    summary: "release a set with one key set to a file, or to standard input",
    load: () => import("./verbs/config-put.ts"),
  },
  {
    path: "config delete",
    args: "<set> <key>",
    summary: "release a set without one of its keys",
    load: () => import("./verbs/config-delete.ts"),
  },
  {
    path: "config history",
    args: "<set>",
    summary: "list the releases of a set, newest first",
    load: () => import("./verbs/config-history.ts"),
  },
  {
    path: "config diff",
    args: "<set>",
    summary: "compare two states of a set; by default the previous release and the live one",
    load: () => import("./verbs/config-diff.ts"),
  },
  {
    path: "config rollback",
    args: "<set> <version>",
    summary: "release the content of an earlier version again",
    load: () => import("./verbs/config-rollback.ts"),
  },
  {
    path: "config export",
    args: "[set]",
    summary: "write live releases to a zip or a folder: one set, or all matching sets",
    load: () => import("./verbs/config-export.ts"),
  },
  {
    path: "config import",
    args: "<path>",
    summary: "release a zip or a folder: NAMESPACE/APP/PROFILE/KEY, or APP/PROFILE/KEY with --namespace",
    load: () => import("./verbs/config-import.ts"),
  },
  {
    path: "config sources",
    summary: "list the git branches and folders that are mirrored into sets",
    load: () => import("./verbs/config-sources.ts"),
  },
  {
    path: "config sync",
    args: "<source>",
    summary: "read a source now, and release the differences",
    load: () => import("./verbs/config-sync.ts"),
  },
  {
    path: "config detach",
    args: "<source>",
    summary: "stop mirroring a source; anyone may then release its sets",
    load: () => import("./verbs/config-detach.ts"),
  },
  {
    path: "config attach",
    args: "<source>",
    summary: "mirror a detached source again",
    load: () => import("./verbs/config-attach.ts"),
  },
  { path: "gateway", group: CHANGE, summary: "check a gateway config, generate an API key" },
  {
    path: "gateway validate",
    args: "<file>",
    summary: "check a gateway config as a release would, with line and column",
    load: () => import("./verbs/gateway-validate.ts"),
  },
  {
    path: "gateway key",
    summary: "generate an API key for a consumer, and the hash for the config",
    load: () => import("./verbs/gateway-key.ts"),
  },
  {
    path: "tokens",
    group: CHANGE,
    summary: "list tokens; create and revoke them",
    load: () => import("./verbs/tokens.ts"),
  },
  {
    path: "tokens create",
    args: "<name>",
    summary: "issue a token; it is shown only once",
    load: () => import("./verbs/tokens-create.ts"),
  },
  {
    path: "tokens revoke",
    args: "<id>",
    summary: "revoke a token",
    load: () => import("./verbs/tokens-revoke.ts"),
  },

  {
    path: "lock",
    args: "<name> <command...>",
    group: COMMANDS,
    summary: "run a command while holding a lock; it ends when the lock is lost",
    load: () => import("./verbs/lock.ts"),
  },
  {
    path: "exec",
    args: "<command...>",
    group: COMMANDS,
    summary: "run a command with config as its environment",
    load: () => import("./verbs/exec.ts"),
  },
  { path: "agent", group: COMMANDS, summary: "run commands with the agent of this host" },
  {
    path: "agent exec",
    args: "<command...>",
    summary: "run a command with config as its environment",
    load: () => import("./verbs/exec.ts"),
  },

  {
    path: "completion",
    args: "<shell>",
    group: MORE,
    summary: "print a completion script for bash, zsh or fish",
    load: () => import("./verbs/completion.ts"),
  },
  { path: "version", group: MORE, summary: "print the version", load: () => import("./verbs/version.ts") },
];
