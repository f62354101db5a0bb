/** Identity in the control API: the certificate authority over the store and the keys for secrets, and its nodes as callers. */
import type { Access } from "#access";
import type { Host } from "#base";
import { KeySealer, type SecretKeys } from "#config-server";
import { CertificateAuthority, Joins, type NodeRecord, Rotations } from "#identity";
import type { Store } from "#store";

/** The first word of every SPIFFE id, unless a setting has another. */
const TRUST_DOMAIN = "posthouse";

interface IdentityOptions {
  readonly store: Store;
  readonly secretKeys: SecretKeys;
  readonly access: Access;
  readonly trustDomain: string | undefined;
  /** Name of this member. */
  readonly member: string;
}

export function createIdentity(host: Host, { store, secretKeys, access, trustDomain, member }: IdentityOptions) {
  const sealer = new KeySealer(host.random, secretKeys);
  const authority = new CertificateAuthority(host, store, { sealer, trustDomain: trustDomain ?? TRUST_DOMAIN, member });
  secretKeys.onUse(() => authority.exists());
  access.followNodes({
    nodeOf: (kind, name) => {
      const node = authority.nodeOf({ kind, name });
      return node && { limits: limitsOf(node) };
    },
    isRevoked: (serial) => authority.isRevoked(serial),
    list: () =>
      [...authority.state.nodes.values()].map((node) => ({
        text: `${node.kind} ${node.name}`,
        policies: [node.kind],
        limits: limitsOf(node),
      })),
  });
  return { authority, rotations: new Rotations(host, authority), joins: new Joins(host, authority) };
}

function limitsOf({ namespaces, apps, services }: NodeRecord) {
  return { namespaces, apps, services };
}
