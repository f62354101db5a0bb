/** Reads an outside authority: a root, or an intermediate with its issuers, and the key of the first. Checks it as a verifier would. */
import { createPrivateKey, type KeyObject, X509Certificate as NodeCertificate } from "node:crypto";
import { messageOf } from "#base";
import { IdentityErrors, type ImportRequest } from "../api.ts";
import { requireAllowedKey } from "./csr.ts";
import { pemBlocks, x509Library } from "./library.ts";

/** Certificates of one chain: a root, and the authorities of a large company below it. */
const CHAIN_MAX = 6;

export interface ImportedAuthority {
  readonly key: KeyObject;
  /** From the issuing certificate to its root. One: it is a root. */
  readonly chain: readonly [NodeCertificate, ...NodeCertificate[]];
}

/** @throws IDENTITY_IMPORT_INVALID, which names the field and never repeats the key */
export async function readImport({ certificate, key: pem }: ImportRequest, nowMs: number): Promise<ImportedAuthority> {
  const chain = chainOf(certificate);
  const key = keyOf(pem);
  const [first] = chain;
  if (!first.checkPrivateKey(key)) throw invalid("/key", "The key does not belong to the first certificate.");
  try {
    requireAllowedKey(first.publicKey);
  } catch (error) {
    throw invalid("/certificate", messageOf(error).replace("of the request", "of the first certificate"));
  }
  for (const [at, one] of chain.entries()) await requireAuthority(chain, at, nowMs, one);
  return { key, chain };
}

function chainOf(pem: string): [NodeCertificate, ...NodeCertificate[]] {
  const blocks = pemBlocks(pem);
  if (blocks.some(({ label }) => label !== "CERTIFICATE") || blocks.length > CHAIN_MAX) {
    throw invalid("/certificate", `Send at most ${CHAIN_MAX} certificates in PEM, and nothing else.`);
  }
  const [first, ...rest] = blocks.map(({ der }, at) => {
    try {
      return new NodeCertificate(der);
    } catch (error) {
      throw invalid("/certificate", `Certificate ${at + 1} cannot be read: ${messageOf(error)}.`);
    }
  });
  if (!first) throw invalid("/certificate", "No certificate found. It begins with -----BEGIN CERTIFICATE-----.");
  return [first, ...rest];
}

function keyOf(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw invalid("/key", "The key is not a private key in PEM without a passphrase.");
  }
}

/** One certificate of the chain: an authority, valid now, issued by the next one, or by itself at the end. */
async function requireAuthority(
  chain: readonly NodeCertificate[],
  at: number,
  nowMs: number,
  one: NodeCertificate,
): Promise<void> {
  const where = `Certificate ${at + 1} (${one.subject.replaceAll("\n", ", ")})`;
  const not = (what: string) => invalid("/certificate", `${where} ${what}.`);
  if (!one.ca) throw not("is not an authority: its basic constraints do not say CA:TRUE");
  if (nowMs >= one.validToDate.getTime()) throw not(`expired at ${one.validToDate.toISOString()}`);
  if (nowMs < one.validFromDate.getTime()) throw not(`is not valid before ${one.validFromDate.toISOString()}`);
  const issuer = chain[at + 1] ?? one;
  if (!one.checkIssued(issuer) || !one.verify(issuer.publicKey)) {
    throw not(
      issuer === one
        ? "is the last one, but it is not a root: it did not sign itself. Append its issuers up to the root"
        : "was not issued by the certificate after it",
    );
  }
  const x509 = await x509Library();
  const read = new x509.X509Certificate(one.raw);
  const usage = read.getExtension(x509.KeyUsagesExtension)?.usages;
  if (usage !== undefined && (usage & x509.KeyUsageFlags.keyCertSign) === 0) {
    throw not("may not sign certificates: its key usage lacks keyCertSign");
  }
  // Below a root, an intermediate of our own follows; below an intermediate, certificates of workloads do.
  const below = chain.length === 1 ? 1 : at;
  const levels = read.getExtension(x509.BasicConstraintsExtension)?.pathLength;
  if (levels !== undefined && levels < below) {
    throw not(`allows ${levels} authorities below it (path length), but ${below} would follow`);
  }
}

function invalid(field: string, detail: string): Error {
  return IdentityErrors.IMPORT_INVALID(detail, { extra: { field } });
}
