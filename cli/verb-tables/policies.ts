/** Verbs about policies, bindings, what callers may do, and who is signed in. */
import type { VerbRow } from "../verb.ts";
import { CHANGE, LOOK } from "./groups.ts";

export const POLICY_VERBS: readonly VerbRow[] = [
  {
    path: "policy",
    aliases: ["policies"],
    group: CHANGE,
    summary: "list policies; create, copy and delete them",
  },
  {
    path: "policy ls",
    summary: "list policies, the built-in ones first",
    isDefault: true,
    load: () => import("../verbs/policy-ls.ts"),
  },
  {
    path: "policy show",
    args: "<policy>",
    summary: "show the rules of a policy; -o yaml for a file",
    load: () => import("../verbs/policy-show.ts"),
  },
  {
    path: "policy set",
    args: "[policy]",
    summary: "create or replace a policy from a file",
    load: () => import("../verbs/policy-set.ts"),
  },
  {
    path: "policy copy",
    args: "<policy> <new-name>",
    summary: "create a policy that begins as another one",
    load: () => import("../verbs/policy-copy.ts"),
  },
  {
    path: "policy rm",
    args: "<policy>",
    summary: "delete a policy without users",
    load: () => import("../verbs/policy-rm.ts"),
  },
  {
    path: "acl",
    group: LOOK,
    summary: "show what a caller may do, and which rule decides; list refusals",
  },
  {
    path: "acl test",
    args: "<action>",
    summary: "show whether an action is allowed, and which rule decides",
    load: () => import("../verbs/acl-test.ts"),
  },
  {
    path: "acl denials",
    summary: "list requests that were refused lately",
    load: () => import("../verbs/acl-denials.ts"),
  },
  {
    path: "binding",
    aliases: ["bindings"],
    group: CHANGE,
    summary: "list which policies people have; set and delete them",
  },
  {
    path: "binding ls",
    summary: "list the policies of people and groups who sign in by OpenID Connect",
    isDefault: true,
    load: () => import("../verbs/binding-ls.ts"),
  },
  {
    path: "binding set",
    args: "<subject>",
    summary: "set the policies of group:NAME or user:NAME",
    load: () => import("../verbs/binding-set.ts"),
  },
  {
    path: "binding rm",
    args: "<subject>",
    summary: "delete a binding",
    load: () => import("../verbs/binding-rm.ts"),
  },
  {
    path: "session",
    aliases: ["sessions"],
    group: CHANGE,
    summary: "list browsers and devices that are signed in; end one",
  },
  {
    path: "session ls",
    summary: "list browsers and devices that are signed in",
    isDefault: true,
    load: () => import("../verbs/session-ls.ts"),
  },
  {
    path: "session end",
    args: "<id>",
    summary: "end a sign-in at once",
    load: () => import("../verbs/session-end.ts"),
  },
];
