/**
 * SPIFFE ids: the names in certificates of members, gateways, agents and services. Rules: SPIFFE-ID, sections 2.1 and 2.2. Pure.
 */

export type WorkloadName =
  | { readonly kind: "service"; readonly namespace: string; readonly name: string }
  | { readonly kind: "agent" | "gateway" | "member"; readonly name: string };

export interface SpiffeId {
  readonly trustDomain: string;
  readonly workload: WorkloadName;
}

/** Bytes of an id (section 2.3). */
const ID_BYTES_MAX = 2048;
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;
const SERVICE = /^\/ns\/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\/service\/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)$/;
const HOST = /^\/(agent|gateway|member)\/([A-Za-z0-9][A-Za-z0-9._-]{0,127})$/;

export function isTrustDomain(text: string): boolean {
  return TRUST_DOMAIN.test(text);
}

export function formatSpiffeId({ trustDomain, workload }: SpiffeId): string {
  const path =
    workload.kind === "service"
      ? `ns/${workload.namespace}/service/${workload.name}`
      : `${workload.kind}/${workload.name}`;
  return `spiffe://${trustDomain}/${path}`;
}

/** The id of a service, as its certificate must have it. */
export function serviceSpiffeId(trustDomain: string, namespace: string, name: string): string {
  return formatSpiffeId({ trustDomain, workload: { kind: "service", namespace, name } });
}

/** The parts of an id; undefined for a text that is not one, or that names nothing known. */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (text.length > ID_BYTES_MAX || !text.startsWith("spiffe://")) return undefined;
  const rest = text.slice("spiffe://".length);
  const slash = rest.indexOf("/");
  if (slash < 0) return undefined;
  const trustDomain = rest.slice(0, slash);
  if (!isTrustDomain(trustDomain)) return undefined;
  const path = rest.slice(slash);
  const service = SERVICE.exec(path);
  if (service) {
    const [, namespace = "", name = ""] = service;
    return { trustDomain, workload: { kind: "service", namespace, name } };
  }
  const [, kind, name = ""] = HOST.exec(path) ?? [];
  if (kind !== "agent" && kind !== "gateway" && kind !== "member") return undefined;
  return { trustDomain, workload: { kind, name } };
}
