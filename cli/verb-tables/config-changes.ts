/** Verbs about changes of config before their release: drafts, proposals, reviews, rules. */
import type { VerbRow } from "../verb.ts";

/** Below `config`, whose row is in config.ts. */
export const CONFIG_CHANGE_VERBS: readonly VerbRow[] = [
  {
    path: "config drafts",
    summary: "draft changes of keys for a review",
  },
  {
    path: "config drafts ls",
    args: "<set>",
    summary: "list drafts of a set and their authors",
    isDefault: true,
    load: () => import("../verbs/config-drafts.ts"),
  },
  {
    path: "config drafts set",
    args: "<set> <key> [file]",
    summary: "draft a value of a key from a file or standard input, or its removal",
    load: () => import("../verbs/config-drafts-set.ts"),
  },
  {
    path: "config drafts rm",
    args: "<set> <key>",
    summary: "discard one of your drafts",
    load: () => import("../verbs/config-drafts-rm.ts"),
  },
  {
    path: "config propose",
    args: "<set>",
    summary: "propose your drafts; print the identifier of the proposal",
    load: () => import("../verbs/config-propose.ts"),
  },
  {
    path: "config proposals",
    summary: "list, show and withdraw proposals",
  },
  {
    path: "config proposals ls",
    args: "<set>",
    summary: "list the proposals of a set, newest first",
    isDefault: true,
    load: () => import("../verbs/config-proposals.ts"),
  },
  {
    path: "config proposals show",
    args: "<set> <proposal>",
    summary: "show a proposal: its changes against the live release, and its reviews",
    load: () => import("../verbs/config-proposals-show.ts"),
  },
  {
    path: "config proposals withdraw",
    args: "<set> <proposal>",
    summary: "withdraw one of your proposals",
    load: () => import("../verbs/config-proposals-withdraw.ts"),
  },
  {
    path: "config review",
    args: "<set> <proposal>",
    summary: "approve or reject a proposal of another author",
    load: () => import("../verbs/config-review.ts"),
  },
  {
    path: "config publish",
    args: "<set> <proposal>",
    summary: "release a proposal, at once or stage by stage",
    load: () => import("../verbs/config-publish.ts"),
  },
  {
    path: "config rules",
    summary: "read and change the rules for releases of a namespace",
  },
  {
    path: "config rules get",
    summary: "show whether releases need a review, and their limits",
    isDefault: true,
    load: () => import("../verbs/config-rules.ts"),
  },
  {
    path: "config rules set",
    summary: "change whether releases need a review, or their limits",
    load: () => import("../verbs/config-rules-set.ts"),
  },
];
