/** Principals of client certificates: nodes that joined, and services. A certificate alone grants nothing: its node must exist. */
import type { PolicyBook } from "#authorization";
import { isLimited, type Limits, type Principal } from "#http";
import type { WorkloadName } from "#identity/core";
import type { PolicyNode } from "./policy-users.ts";
import { appsOf } from "./token-record.ts";

/** The parts of a verified certificate that make a principal. */
export interface PeerIdentity {
  readonly workload: WorkloadName;
  readonly serial: string;
  readonly expiresAtMs: number;
}

/** A node that joined, as its record says. */
export interface AccessNode {
  /** Absent: the policy of its kind. */
  readonly policies?: readonly string[] | undefined;
  readonly limits?: Limits | undefined;
}

/** A node that may join, and what it will be bound to. */
export interface NewNode extends Limits {
  readonly kind: "agent" | "gateway";
}

/** The nodes that joined. */
export interface AccessNodes {
  /** Undefined for a node that never joined or was removed. */
  nodeOf(kind: "agent" | "gateway", name: string): AccessNode | undefined;
  /** Whether a certificate was revoked, as those of a node are when it is removed or another host takes its name. */
  isRevoked(serial: string): boolean;
  /** All of them, for the list of those that have a policy. */
  list(): readonly PolicyNode[];
}

export const NO_NODES: AccessNodes = { nodeOf: () => undefined, isRevoked: () => false, list: () => [] };

/** Undefined: no principal. A member of the control plane does not call its own API. */
export function peerPrincipal(peer: PeerIdentity, nodes: AccessNodes, book: PolicyBook): Principal | undefined {
  const { workload, serial, expiresAtMs } = peer;
  if (workload.kind === "member") return undefined;
  if (workload.kind === "service") {
    const { namespace, name } = workload;
    const limits = { namespaces: [namespace], services: [name], apps: [name] };
    return {
      id: `service:${namespace}/${name}`,
      name: `${namespace}/${name}`,
      kind: "certificate",
      policies: ["service"],
      rights: book.rightsOf(["service"]),
      limits,
      secretApps: limits.apps,
      serial,
      expiresAtMs,
    };
  }
  const node = nodes.nodeOf(workload.kind, workload.name);
  if (!node) return undefined;
  const { policies = [workload.kind] } = node;
  const apps = appsOf(policies, node.limits?.apps);
  const limits: Limits = { ...node.limits, ...(apps === undefined ? {} : { apps }) };
  return {
    id: `${workload.kind}:${workload.name}`,
    name: workload.name,
    kind: "certificate",
    policies,
    rights: book.rightsOf(policies),
    secretApps: apps ?? [],
    serial,
    expiresAtMs,
    ...(isLimited(limits) ? { limits } : {}),
  };
}
