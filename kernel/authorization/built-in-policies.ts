/** The policies that every installation has. They can be read and copied, not changed. */
import type { Policy } from "./api.ts";

const READ = ["registry:read", "config:read", "locks:read", "gateway:read"];
const EDIT = [...READ, "config:draft", "config:review"];

export const BUILT_IN_POLICIES: readonly Policy[] = [
  {
    name: "operator",
    description: "Everything, except to receive secrets: an operator reveals one at a time, which is audited.",
    rules: [
      {
        effect: "allow",
        actions: [
          "registry:*",
          "config:read",
          "config:acknowledge",
          "config:draft",
          "config:review",
          "config:publish",
          "config:rules",
          "config:reveal",
          "config:keys",
          "config:audit",
          "locks:*",
          "gateway:*",
          "quotas:*",
          "traffic:*",
          "access:*",
          "identity:*",
          "operations:*",
        ],
      },
    ],
  },
  {
    name: "publisher",
    description: "Edit configs, release them, roll them back, and control gradual releases.",
    rules: [{ effect: "allow", actions: [...EDIT, "config:publish"] }],
  },
  {
    name: "editor",
    description: "Draft, propose and review changes of configs.",
    rules: [{ effect: "allow", actions: EDIT }],
  },
  {
    name: "viewer",
    description: "See everything that is not secret, and change nothing.",
    rules: [{ effect: "allow", actions: [...READ, "operations:read", "identity:read"] }],
  },
  {
    name: "gateway",
    description: "Follow the registry and the gateway's config, acknowledge it, and lease from shared limits.",
    rules: [
      {
        effect: "allow",
        actions: [
          "registry:read",
          "config:read",
          "config:acknowledge",
          "locks:read",
          "gateway:read",
          "quotas:lease",
          "traffic:report",
          "traffic:gateway",
          "identity:issue",
          "operations:read",
        ],
      },
    ],
  },
  {
    name: "agent",
    description:
      "Register and report what runs on a host, and read configs and secrets of the apps that it is bound to.",
    rules: [
      {
        effect: "allow",
        actions: [
          "registry:read",
          "registry:write",
          "config:read",
          "config:secrets",
          "config:acknowledge",
          "locks:read",
          "locks:write",
          "traffic:report",
          "identity:issue",
          "identity:delegate",
        ],
      },
    ],
  },
  {
    name: "service",
    description: "Register a service's own instances, and read its own app's config and secrets.",
    rules: [
      {
        effect: "allow",
        actions: [
          "registry:read",
          "registry:write",
          "config:read",
          "config:secrets",
          "config:acknowledge",
          "locks:read",
          "locks:write",
          "traffic:report",
          "identity:issue",
        ],
      },
    ],
  },
];
