/** How each kind of change is read: the action that a reader needs, and its sentence. A later kind is one more row. */
import type { Action } from "#http";
import type { StoredChange } from "#changes";
import type { ChangeKind } from "./api.ts";

interface KindRow {
  readonly action: Action;
  readonly text: (change: StoredChange) => string;
}

const instance = ({ subject: { service, instance, namespace } }: StoredChange) =>
  `Instance "${instance}" of service "${service}" in "${namespace}"`;
const set = ({ subject: { namespace, app, profile } }: StoredChange) => `"${namespace}/${app}/${profile}"`;
const named = ({ subject: { name } }: StoredChange) => `"${name}"`;
const because = ({ reason }: StoredChange) => (reason === undefined ? "." : `: ${reason}`);
const by = (change: StoredChange) => (change.by === undefined ? "" : ` by ${change.by}`);

const ROWS: Readonly<Record<ChangeKind, KindRow>> = {
  "instance-registered": { action: "registry:read", text: (one) => `${instance(one)} was registered.` },
  "instance-gone": { action: "registry:read", text: (one) => `${instance(one)} is gone${because(one)}` },
  "instance-lifecycle": { action: "registry:read", text: (one) => `${instance(one)} is ${one.to}.` },
  "instance-health": {
    action: "registry:read",
    text: (one) => `${instance(one)} changed from ${one.from} to ${one.to}${because(one)}`,
  },
  "config-released": {
    action: "config:read",
    text: (one) => `Release ${one.version} of ${set(one)} was published${by(one)}${because(one)}`,
  },
  "config-rolled-back": {
    action: "config:read",
    text: (one) => `${set(one)} was rolled back to ${one.to} with release ${one.version}${by(one)}${because(one)}`,
  },
  "rollout-started": {
    action: "config:read",
    text: (one) => `The rollout of release ${one.version} of ${set(one)} was started${by(one)}${because(one)}`,
  },
  "rollout-advanced": rollout((one) => `reached stage ${one.to}`),
  "rollout-paused": rollout(() => "was paused"),
  "rollout-resumed": rollout(() => "was resumed"),
  "rollout-completed": rollout(() => "was completed"),
  "rollout-rolled-back": rollout(() => "was rolled back"),
  "rollout-superseded": rollout(() => "was ended by an emergency release"),
  "member-joined": { action: "registry:read", text: (one) => `Member ${named(one)} of the control plane joined.` },
  "member-left": { action: "registry:read", text: (one) => `Member ${named(one)} of the control plane ${one.to}.` },
  "gateway-joined": { action: "registry:read", text: (one) => `Gateway ${named(one)} joined.` },
  "gateway-left": { action: "registry:read", text: (one) => `Gateway ${named(one)} left.` },
  "token-issued": {
    action: "access:manage",
    text: (one) => `A token for ${named(one)} with the policies ${one.to} was issued${by(one)}.`,
  },
  "token-revoked": {
    action: "access:manage",
    text: (one) => `The token of ${named(one)} with the policies ${one.from} was revoked${by(one)}.`,
  },
  "token-rotated": { action: "access:manage", text: (one) => `The token of ${named(one)} got a new secret${by(one)}.` },
  "policy-changed": { action: "access:manage", text: (one) => `The policy ${named(one)} was set${by(one)}.` },
  "policy-deleted": { action: "access:manage", text: (one) => `The policy ${named(one)} was deleted${by(one)}.` },
  "binding-changed": {
    action: "access:manage",
    text: (one) => `${named(one)} has the policies ${one.to} now, set${by(one)}.`,
  },
  "binding-deleted": {
    action: "access:manage",
    text: (one) => `The binding of ${named(one)} to ${one.from} was deleted${by(one)}.`,
  },
};

function rollout(what: (change: StoredChange) => string): KindRow {
  return {
    action: "config:read",
    text: (one) => `The rollout of release ${one.version} of ${set(one)} ${what(one)}${by(one)}${because(one)}`,
  };
}

/** The row of a kind; undefined for a kind of a later version. */
export function kindRow(kind: string): KindRow | undefined {
  return Object.hasOwn(ROWS, kind) ? ROWS[kind as ChangeKind] : undefined;
}
