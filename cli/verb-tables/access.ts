/** Verbs about locks, tokens and contexts. */
import type { VerbRow } from "../verb.ts";
import { CHANGE, LOOK } from "./groups.ts";

export const ACCESS_VERBS: readonly VerbRow[] = [
  {
    path: "locks",
    group: LOOK,
    summary: "list locks, their holders and queues; break one",
  },
  {
    path: "locks ls",
    summary: "list locks, their holders and queues",
    isDefault: true,
    load: () => import("../verbs/locks.ts"),
  },
  {
    path: "locks break",
    args: "<name>",
    summary: "take a lock from its holder",
    load: () => import("../verbs/locks-break.ts"),
  },
  {
    path: "token",
    aliases: ["tokens"],
    group: CHANGE,
    summary: "list tokens; create, rotate and revoke them",
  },
  {
    path: "token ls",
    summary: "list tokens, without their secrets",
    isDefault: true,
    load: () => import("../verbs/token-ls.ts"),
  },
  {
    path: "token create",
    aliases: ["issue"],
    args: "<name>",
    summary: "issue a token; it is shown only once",
    load: () => import("../verbs/token-create.ts"),
  },
  {
    path: "token rotate",
    args: "<id>",
    summary: "replace the secret of a token; the previous one stays valid for a while",
    load: () => import("../verbs/token-rotate.ts"),
  },
  {
    path: "token revoke",
    args: "<id>",
    summary: "revoke a token",
    load: () => import("../verbs/token-revoke.ts"),
  },
  {
    path: "token inspect",
    args: "[id]",
    summary: "show one token; without an id the one that this command uses",
    load: () => import("../verbs/token-inspect.ts"),
  },
  {
    path: "console",
    group: LOOK,
    summary: "print a link that signs in a browser to the console, once; --open opens it",
    load: () => import("../verbs/console.ts"),
  },
  {
    path: "login",
    args: "[url]",
    group: CHANGE,
    summary: "sign in by a browser, or by a token, and store the token in a context",
    load: () => import("../verbs/login.ts"),
  },
  {
    path: "logout",
    group: CHANGE,
    summary: "end the token of a login, and forget it",
    load: () => import("../verbs/logout.ts"),
  },
  {
    path: "context",
    aliases: ["contexts"],
    group: CHANGE,
    summary: "control planes by name, with URLs and token",
  },
  {
    path: "context ls",
    summary: "list the contexts of this user",
    isDefault: true,
    load: () => import("../verbs/context-ls.ts"),
  },
  {
    path: "context use",
    args: "<name>",
    summary: "choose the context that commands use from now on",
    load: () => import("../verbs/context-use.ts"),
  },
  {
    path: "context set",
    args: "<name>",
    summary: "store a context",
    load: () => import("../verbs/context-set.ts"),
  },
  {
    path: "context rm",
    args: "<name>",
    summary: "forget a context and its token",
    load: () => import("../verbs/context-rm.ts"),
  },
  {
    path: "context show",
    summary: "show which control plane commands call, and where that is set",
    load: () => import("../verbs/context-show.ts"),
  },
];
