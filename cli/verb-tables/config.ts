/** Verbs about config. */
import type { VerbRow } from "../verb.ts";
import { CHANGE, LOOK } from "./groups.ts";

export const CONFIG_VERBS: readonly VerbRow[] = [
  {
    path: "rollouts",
    args: "[set]",
    group: LOOK,
    summary: "list gradual releases under way, or the history of one set",
    load: () => import("../verbs/rollouts.ts"),
  },
  {
    path: "config",
    group: CHANGE,
    summary: "read and release config, one set or many at a time",
  },
  {
    path: "config releases",
    aliases: ["ls"],
    summary: "list the live release of every set",
    load: () => import("../verbs/config-releases.ts"),
  },
  {
    path: "config get",
    args: "<set> [key]",
    summary: "print the effective config of an instance: its keys, or one value",
    load: () => import("../verbs/config-get.ts"),
  },
  {
    path: "config put",
    aliases: ["set"],
    args: "<set> <key> [file]",
    summary: "release a set with one key set to a file, or to standard input",
    load: () => import("../verbs/config-put.ts"),
  },
  {
    path: "config edit",
    args: "<set> <key>",
    summary: "edit the live value of a key, and release it unless it was changed meanwhile",
    load: () => import("../verbs/config-edit.ts"),
  },
  {
    path: "config delete",
    aliases: ["rm"],
    args: "<set> <key>",
    summary: "release a set without one of its keys",
    load: () => import("../verbs/config-delete.ts"),
  },
  {
    path: "config validate",
    args: "<set> <key> [file]",
    summary: "check a value as a release would, and show the difference",
    load: () => import("../verbs/config-validate.ts"),
  },
  {
    path: "config history",
    args: "<set>",
    summary: "list the releases of a set, newest first",
    load: () => import("../verbs/config-history.ts"),
  },
  {
    path: "config diff",
    args: "<set> [a] [b]",
    summary: "compare two states of a set; by default the previous release and the live one",
    load: () => import("../verbs/config-diff.ts"),
  },
  {
    path: "config rollback",
    args: "<set> <version>",
    summary: "release the content of an earlier version again",
    load: () => import("../verbs/config-rollback.ts"),
  },
  {
    path: "config watch",
    args: "<set>",
    summary: "print one line per change of the effective config",
    load: () => import("../verbs/config-watch.ts"),
  },
  {
    path: "config status",
    args: "<set>",
    summary: "list which subscriber runs which release; wait until all run the live one",
    load: () => import("../verbs/config-status.ts"),
  },
  {
    path: "config promote",
    args: "<set>",
    summary: "take a release to another environment",
    load: () => import("../verbs/config-promote.ts"),
  },
  {
    path: "config rollout",
    summary: "release stage by stage",
  },
  {
    path: "config rollout start",
    args: "<set> <key> [file]",
    summary: "start a rollout that changes one key",
    load: () => import("../verbs/config-rollout-start.ts"),
  },
  {
    path: "config rollout status",
    args: "<set>",
    summary: "show the stage of a rollout and what it waits for",
    load: () => import("../verbs/config-rollout-status.ts"),
  },
  {
    path: "config rollout pause",
    args: "<set>",
    summary: "stay in the current stage until resumed",
    load: () => import("../verbs/config-rollout-steer.ts"),
  },
  {
    path: "config rollout resume",
    args: "<set>",
    summary: "continue a paused rollout; present failures no longer count",
    load: () => import("../verbs/config-rollout-steer.ts"),
  },
  {
    path: "config rollout promote",
    args: "<set>",
    summary: "begin the next stage now, without waiting",
    load: () => import("../verbs/config-rollout-steer.ts"),
  },
  {
    path: "config rollout complete",
    args: "<set>",
    summary: "make the release live for every instance now",
    load: () => import("../verbs/config-rollout-steer.ts"),
  },
  {
    path: "config rollout abort",
    args: "<set>",
    summary: "return every instance to the release before",
    load: () => import("../verbs/config-rollout-steer.ts"),
  },
  {
    path: "config export",
    args: "[set]",
    summary: "write live releases to a zip or a folder: one set, or all matching sets",
    load: () => import("../verbs/config-export.ts"),
  },
  {
    path: "config import",
    args: "<path>",
    summary: "release a zip or a folder: NAMESPACE/APP/PROFILE/KEY, or APP/PROFILE/KEY with --namespace",
    load: () => import("../verbs/config-import.ts"),
  },
  {
    path: "config sources",
    summary: "list the git branches and folders that are mirrored into sets",
    load: () => import("../verbs/config-sources.ts"),
  },
  {
    path: "config sync",
    args: "<source>",
    summary: "read a source now, and release the differences",
    load: () => import("../verbs/config-sync.ts"),
  },
  {
    path: "config detach",
    args: "<source>",
    summary: "stop mirroring a source; anyone may then release its sets",
    load: () => import("../verbs/config-detach.ts"),
  },
  {
    path: "config attach",
    args: "<source>",
    summary: "mirror a detached source again",
    load: () => import("../verbs/config-attach.ts"),
  },
];
