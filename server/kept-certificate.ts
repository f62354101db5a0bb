/**
 * Keeps a certificate of this process in the data folder, with its key, so that a restart needs no new one: it costs a key, a write to the
 * store and a line in the list of certificates. A kept one that is not as good as a new one is replaced.
 */
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type Static, Type } from "typebox";
import { Check as matches } from "typebox/value";
import { type Host, messageOf } from "#base";
import { replaceFile } from "#base/files";
import { type CertificateAuthority, isIssuedNow, type OwnWorkload } from "#identity";
import type { CertificateIssuer, OwnNames } from "./own-certificate.ts";

/** Share of its life for which a certificate is used again. The earliest renewal is then, see own-certificate.ts. */
const REUSE_SHARE = 0.4;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** One file, so that a certificate is never beside another one's key. */
const KeptCertificate = Type.Object({
  names: Type.Array(Type.String()),
  issuedAtMs: Type.Number(),
  expiresAtMs: Type.Number(),
  spiffeId: Type.String(),
  certificate: Type.String(),
  key: Type.String(),
});
type KeptCertificate = Static<typeof KeptCertificate>;

export type KeepingAuthority = Pick<CertificateAuthority, "bundle" | "isRevoked" | "issueOwn" | "onChange" | "state">;

export interface KeepOptions {
  readonly path: string;
  /** Absent: this member. */
  readonly gateway?: string;
}

/** Issues what the authority would, unless the file has it already. */
export function keepingIssuer(
  host: Host,
  authority: KeepingAuthority,
  { path, gateway }: KeepOptions,
): CertificateIssuer {
  const workload = gateway === undefined ? undefined : ({ kind: "gateway", name: gateway } as const);
  return {
    onChange: (listener) => authority.onChange(listener),
    issueOwn: async (names) => {
      const kept = await read(host, path);
      if (
        kept &&
        isUsable(authority, kept, { names, workload: workload ?? { kind: "member" }, nowMs: host.clock.now() })
      ) {
        const { names: _, ...material } = kept;
        return { ...material, bundle: authority.bundle().pem };
      }
      const issuedAtMs = host.clock.now();
      const material = await authority.issueOwn(names, workload);
      const { spiffeId, certificate, key, expiresAtMs } = material;
      await write(host, path, { names: listOf(names), issuedAtMs, expiresAtMs, spiffeId, certificate, key });
      return { ...material, issuedAtMs };
    },
  };
}

interface Wanted {
  readonly names: OwnNames;
  readonly workload: OwnWorkload;
  readonly nowMs: number;
}

/** A time of issue in the future is that of a clock that was wrong, then or now. */
function isUsable(authority: KeepingAuthority, kept: KeptCertificate, { names, workload, nowMs }: Wanted): boolean {
  const untilMs = kept.issuedAtMs + (kept.expiresAtMs - kept.issuedAtMs) * REUSE_SHARE;
  if (nowMs < kept.issuedAtMs || nowMs >= untilMs) return false;
  return kept.names.join() === listOf(names).join() && isIssuedNow(authority, kept, workload);
}

function listOf({ dns, ips }: OwnNames): string[] {
  return [...dns, ...ips];
}

/** Undefined for none, and for a damaged one, which is replaced. */
async function read(host: Host, path: string): Promise<KeptCertificate | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    if (matches(KeptCertificate, value)) return value;
    throw new Error("it is not what this program writes");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    host.log.warn({ path, err: error }, `the kept certificate is replaced: ${messageOf(error)}`);
    return undefined;
  }
}

/** Without the file, the next start issues another certificate. */
async function write(host: Host, path: string, kept: KeptCertificate): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
    await replaceFile(path, `${JSON.stringify(kept)}\n`, FILE_MODE);
  } catch (error) {
    host.log.warn({ path, err: error }, `the certificate is not kept for the next start: ${messageOf(error)}`);
  }
}
