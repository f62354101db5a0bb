/**
 * The certificate that the gateway serves, unless the config gives a listener its own: from files of the operator; from the authority of
 * the control plane in this process; or from a local authority in the data folder, for a gateway without a control plane. A local authority
 * that an earlier version made stays in use, because clients trust it.
 */
import { access, mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { AppError, messageOf } from "#base";
import { replaceFile } from "#base/files";
import { isLoopback } from "#http";
import type { CertificateAuthority } from "#identity";
import { certificateEnd, ownTls, readTls, type TlsMaterial } from "./certificates.ts";
import { keepingIssuer } from "./kept-certificate.ts";
import { OwnCertificate } from "./own-certificate.ts";
import type { Parts } from "./roles/parts.ts";

/** Milliseconds before its end at which a certificate that renews itself is a problem: a quarter of a day. */
const LATE_MS = 6 * 3_600_000;

export interface GatewayCertificate {
  readonly tls: TlsMaterial;
  /** Calls the listener with each renewed certificate. Never for one that does not renew itself. */
  onRenewed(listener: (tls: TlsMaterial) => void): void;
}

export async function gatewayCertificate(parts: Parts): Promise<GatewayCertificate> {
  const { settings, certificates } = parts;
  const { gatewayCertFile: certFile, gatewayKeyFile: keyFile } = settings;
  if (certFile === undefined || keyFile === undefined) {
    const own = await ownCertificate(parts);
    if (own) return own;
  }
  const tls =
    certFile !== undefined && keyFile !== undefined
      ? await readTls({ certFile, keyFile, of: "the gateway", settings: "gatewayCertFile, gatewayKeyFile" })
      : await ownTls(parts.host, folderOf(parts), namesOf(parts));
  certificates.push({ name: "gateway", expiresAtMs: certificateEnd(tls.cert) });
  return { tls, onRenewed: () => {} };
}

/** Undefined: the local authority issues it. */
async function ownCertificate(parts: Parts): Promise<GatewayCertificate | undefined> {
  const { host, control, stack, certificates } = parts;
  if (!control || (await isThere(join(folderOf(parts), "ca-key.pem")))) return undefined;
  const certificate = stack.use(new OwnCertificate(host, namesOf(parts)));
  try {
    await certificate.start(keepingIssuer(host, control.authority, { path: join(folderOf(parts), "gateway.json") }));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    host.log.warn(
      { code: error.code },
      `the gateway's certificate comes from a local authority, because that of the control plane cannot issue: ${messageOf(error)}`,
    );
    return undefined;
  }
  const keepBundle = () => writeBundle(parts, control.authority);
  await keepBundle();
  stack.defer(control.authority.onChange(() => void keepBundle()));
  certificates.push({
    name: "gateway",
    renewsBeforeMs: LATE_MS,
    get expiresAtMs() {
      return certificate.current?.expiresAtMs ?? 0;
    },
  });
  const tls = () => ({ cert: certificate.current?.certificate ?? "", key: certificate.current?.key ?? "" });
  return { tls: tls(), onRenewed: (listener) => stack.defer(certificate.onChange(() => listener(tls()))) };
}

/** The roots, for clients of the gateway on this machine. */
async function writeBundle(parts: Parts, authority: CertificateAuthority): Promise<void> {
  const path = join(folderOf(parts), "ca.pem");
  try {
    await mkdir(folderOf(parts), { recursive: true, mode: 0o700 });
    await replaceFile(path, authority.bundle().pem, 0o644);
  } catch (error) {
    parts.host.log.warn({ path, err: error }, `the trusted roots were not written: ${messageOf(error)}`);
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function folderOf({ settings }: Parts): string {
  return join(settings.data, "tls");
}

function namesOf({ settings: { gatewayHost } }: Parts): string[] {
  const names = ["localhost", "127.0.0.1", "::1", hostname(), ...(isLoopback(gatewayHost) ? [] : [gatewayHost])];
  return [...new Set(names)];
}
