/**
 * The names that a caller may get a certificate for: its own, and those of services that it is bound to. A caller with the right to manage
 * the authority may request any name of a service.
 */
import type { Principal } from "#http";
import { can, isAllowed, within } from "#http";
import { type CertificateRequest, IdentityErrors } from "./api.ts";
import type { CertificateAuthority } from "./authority.ts";
import { parseSpiffeId, type WorkloadName } from "./core/spiffe-id.ts";
import { OWN_HOST } from "./joins.ts";
import type { CheckedCsr } from "./x509/csr.ts";

/** The workload that a request names. @throws IDENTITY_CSR_INVALID, IDENTITY_NAME_NOT_ALLOWED */
export function requestedWorkload(authority: CertificateAuthority, { spiffeId }: CheckedCsr): WorkloadName {
  if (spiffeId === undefined) {
    throw IdentityErrors.CSR_INVALID(
      `The request has no SPIFFE id. Add a URI such as spiffe://${authority.trustDomain}/ns/default/service/orders to its alternative names.`,
      { extra: { field: "/csr" } },
    );
  }
  const parsed = parseSpiffeId(spiffeId);
  if (!parsed || parsed.trustDomain !== authority.trustDomain) {
    throw IdentityErrors.NAME_NOT_ALLOWED(
      `"${spiffeId}" is not the SPIFFE id of a workload in the trust domain "${authority.trustDomain}".`,
      { extra: { field: "/csr" } },
    );
  }
  return parsed.workload;
}

/** @throws IDENTITY_NAME_NOT_ALLOWED */
export function requireOwnName(authority: CertificateAuthority, principal: Principal, workload: WorkloadName): void {
  if (workload.kind === "service") {
    const { namespace, name: service } = workload;
    if (!isAllowed(principal, "identity:issue", { namespace, service })) {
      throw notAllowed(principal, workload, "its policies and limits do not include that service");
    }
    // Registering every service is one thing; being every service is another, so it is never the default.
    if (isManager(principal) || within(principal.limits?.services ?? [], service)) return;
    throw notAllowed(principal, workload, "it is not bound to any service. Bind it with --service");
  }
  const isItself = principal.kind === "certificate" && principal.id === `${workload.kind}:${workload.name}`;
  if (isItself && authority.nodeOf(workload)) return;
  throw notAllowed(principal, workload, `only the ${workload.kind} itself gets one, after it joined`);
}

/** DNS names and addresses beside the SPIFFE id. @throws IDENTITY_NAME_NOT_ALLOWED */
export function requireOwnNames(
  authority: CertificateAuthority,
  principal: Principal,
  { workload, dns = [], ips = [] }: Pick<CertificateRequest, "dns" | "ips"> & { readonly workload: WorkloadName },
): void {
  if (isManager(principal)) return;
  const allowed = namesOf(authority, workload);
  const name = dns.find((one) => !allowed.dns.includes(one)) ?? ips.find((one) => !allowed.ips.includes(one));
  if (name === undefined) return;
  const list = [...allowed.dns, ...allowed.ips].join(", ");
  throw IdentityErrors.NAME_NOT_ALLOWED(
    `"${name}" is not a name of ${textOf(workload)}. Its names are ${list}. Others are named in the join token, or requested by an operator.`,
    { extra: { field: dns.includes(name) ? "/dns" : "/ips" } },
  );
}

function namesOf(
  authority: CertificateAuthority,
  workload: WorkloadName,
): { dns: readonly string[]; ips: readonly string[] } {
  if (workload.kind === "service") {
    const { namespace, name } = workload;
    return { dns: [name, `${name}.${namespace}`, `${name}.${namespace}.svc`, ...OWN_HOST.dns], ips: OWN_HOST.ips };
  }
  const { dns = [], ips = [] } = authority.nodeOf(workload) ?? {};
  return { dns: [...OWN_HOST.dns, ...dns], ips: [...OWN_HOST.ips, ...ips] };
}

function isManager(principal: Principal): boolean {
  return can(principal, "identity:manage");
}

function notAllowed({ name }: Principal, workload: WorkloadName, why: string): Error {
  return IdentityErrors.NAME_NOT_ALLOWED(`"${name}" gets no certificate for ${textOf(workload)}: ${why}.`, {
    extra: { field: "/csr", action: "identity:issue" },
  });
}

function textOf(workload: WorkloadName): string {
  return workload.kind === "service"
    ? `the service "${workload.name}" in the namespace "${workload.namespace}"`
    : `the ${workload.kind} "${workload.name}"`;
}
