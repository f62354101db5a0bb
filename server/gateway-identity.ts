/**
 * The certificate by which a gateway calls services through their sidecars: the one of its join, or one of the authority in this process.
 * The authority is not created for it: without one, no service has an ingress.
 */
import { join } from "node:path";
import { messageOf, TaskGroup, Trigger, type Host } from "#base";
import type { CertificateAuthority } from "#identity";
import { parseSpiffeId, type IdentitySource } from "#identity/core";
import { keepingIssuer } from "./kept-certificate.ts";
import { OwnCertificate } from "./own-certificate.ts";
import type { Parts } from "./roles/parts.ts";

/** Milliseconds until another try when the authority did not issue. */
const RETRY_MS = 5_000;

/** Undefined for a gateway that has neither joined nor an authority in its process: it uses the plain ports of services. */
export function gatewayIdentity(
  { host, settings, stack, control, identity }: Parts,
  name: string,
): IdentitySource | undefined {
  const joined = identity?.source;
  if (joined?.current && parseSpiffeId(joined.current.spiffeId)?.workload.kind === "gateway") return joined;
  if (!control) return undefined;
  // No names beside the SPIFFE id: it serves nothing by this certificate.
  const own = stack.use(new OwnCertificate(host, undefined, control.authority.revocations));
  const tasks = stack.use(new TaskGroup(host.log));
  const path = join(settings.data, "tls", "gateway-identity.json");
  tasks.run("certificate of the gateway", (signal) =>
    startOnce(host, own, { authority: control.authority, name, path, signal }),
  );
  return own;
}

async function startOnce(
  host: Host,
  own: OwnCertificate,
  {
    authority,
    name,
    path,
    signal,
  }: { authority: CertificateAuthority; name: string; path: string; signal: AbortSignal },
): Promise<void> {
  const { clock, log } = host;
  const issuer = keepingIssuer(host, authority, { path, gateway: name });
  const news = new Trigger();
  const end = authority.onChange(() => news.fire());
  try {
    while (!signal.aborted && !(await authority.exists())) await news.wait(signal);
    while (!signal.aborted) {
      try {
        return await own.start(issuer);
      } catch (error) {
        log.warn({ err: error }, `the gateway has no certificate yet, and tries again: ${messageOf(error)}`);
        await clock.sleep(RETRY_MS, signal).catch(() => {});
      }
    }
  } finally {
    end();
  }
}
