/** Verbs about certificates, the certificate authority, join tokens and nodes. */
import type { VerbRow } from "../verb.ts";
import { CHANGE, LOOK } from "./groups.ts";

export const IDENTITY_VERBS: readonly VerbRow[] = [
  {
    path: "cert",
    aliases: ["certs"],
    group: LOOK,
    summary: "list certificates; issue and revoke them; print the trust bundle",
  },
  {
    path: "cert ls",
    summary: "list issued certificates, the newest first",
    isDefault: true,
    load: () => import("../verbs/cert-ls.ts"),
  },
  {
    path: "cert show",
    args: "<serial>",
    summary: "show one certificate",
    load: () => import("../verbs/cert-show.ts"),
  },
  {
    path: "cert issue",
    args: "[service]",
    summary: "issue a certificate for a service, with a key made here, or for a signing request",
    load: () => import("../verbs/cert-issue.ts"),
  },
  {
    path: "cert revoke",
    args: "<serial>",
    summary: "revoke a certificate; every member rejects it within a second",
    load: () => import("../verbs/cert-revoke.ts"),
  },
  {
    path: "cert bundle",
    summary: "print the roots that are trusted now, in PEM",
    load: () => import("../verbs/cert-bundle.ts"),
  },
  {
    path: "authority",
    group: LOOK,
    summary: "show the certificate authority; rotate it, or import one",
  },
  {
    path: "authority show",
    summary: "show the certificates of the authority, and its rotation",
    isDefault: true,
    load: () => import("../verbs/authority-show.ts"),
  },
  {
    path: "authority rotate",
    summary: "replace the intermediate at once, or the root over days",
    load: () => import("../verbs/authority-rotate.ts"),
  },
  {
    path: "authority import",
    summary: "replace the authority by one of your own",
    load: () => import("../verbs/authority-import.ts"),
  },
  {
    path: "join-token",
    aliases: ["join-tokens"],
    group: CHANGE,
    summary: "list join tokens; create and revoke them",
  },
  {
    path: "join-token ls",
    summary: "list join tokens, without their secrets",
    isDefault: true,
    load: () => import("../verbs/join-token-ls.ts"),
  },
  {
    path: "join-token create",
    summary: "create a token with which one agent or gateway joins once",
    load: () => import("../verbs/join-token-create.ts"),
  },
  {
    path: "join-token revoke",
    args: "<id>",
    summary: "revoke a join token",
    load: () => import("../verbs/join-token-revoke.ts"),
  },
  {
    path: "node",
    aliases: ["nodes"],
    group: LOOK,
    summary: "list the agents and gateways that joined; remove one",
  },
  {
    path: "node ls",
    summary: "list nodes, and what they are bound to",
    isDefault: true,
    load: () => import("../verbs/node-ls.ts"),
  },
  {
    path: "node rm",
    args: "<kind> <name>",
    summary: "remove a node; its certificates are revoked at once",
    load: () => import("../verbs/node-rm.ts"),
  },
];
