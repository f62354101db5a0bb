/**
 * The gateway's default certificate, from a certificate authority that the first start creates in the data folder. A certificate that
 * expires soon, or is for other names, is replaced at the next start.
 */
import { createPrivateKey, webcrypto, X509Certificate as NodeCertificate } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { defineErrors, type Host, messageOf } from "#base";
import { replaceFile } from "#base/files";
import { readStateFile } from "#base/state-file";
import type { SettingName } from "#settings";

/** Validity of the authority and of its certificates, in days. Clients reject server certificates of more than 398 days. */
const AUTHORITY_DAYS = 3650;
const CERTIFICATE_DAYS = 365;
/** Days before its expiry at which a certificate is replaced. */
const RENEW_DAYS = 30;
const DAY_MS = 86_400_000;

export const TlsErrors = defineErrors("TLS", {
  UNREADABLE: { status: 500, title: "Certificate not readable" },
});

export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
}

/** A certificate that this process serves. `renewsBeforeMs`: it renews itself, that long before its end at the latest. */
export interface ServedCertificate {
  readonly name: string;
  readonly expiresAtMs: number;
  readonly renewsBeforeMs?: number;
}

/** A pair of files, and the settings that name them. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** The part that serves the certificate, such as "the gateway". */
  readonly of: string;
  readonly settings: string;
}

/** Reads the operator's certificate. @throws TLS_UNREADABLE with the name of the file */
export async function readTls({ certFile, keyFile, of, settings }: TlsFiles): Promise<TlsMaterial> {
  const wayOut = `Provide it in PEM, with the settings ${settings}.`;
  const cert = await readStateFile(certFile, { what: `the certificate of ${of}`, wayOut, parse: parseCertificate });
  const key = await readStateFile(keyFile, { what: `the key of the certificate of ${of}`, wayOut, parse: parseKey });
  if (cert === undefined || key === undefined) {
    throw TlsErrors.UNREADABLE(`File not found: ${cert === undefined ? certFile : keyFile} (settings ${settings}).`);
  }
  if (!belongTogether(cert, key)) {
    throw TlsErrors.UNREADABLE(
      `The key in ${keyFile} does not belong to the certificate in ${certFile} (settings ${settings}).`,
    );
  }
  return { cert, key };
}

/** The PEM file of authorities that a setting names. @throws TLS_UNREADABLE */
export async function readAuthorities(path: string, setting: SettingName): Promise<Buffer> {
  const text = await readFile(path).catch((cause: unknown) => {
    throw TlsErrors.UNREADABLE(`${path} cannot be read: ${messageOf(cause)} (setting ${setting}).`, { cause });
  });
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw TlsErrors.UNREADABLE(`${path} contains no PEM certificate (setting ${setting}).`);
}

/** A certificate for these names, from the authority in `folder`. Both are created when they do not exist. */
export async function ownTls(host: Host, folder: string, names: readonly string[]): Promise<TlsMaterial> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const paths = {
    caCert: join(folder, "ca.pem"),
    caKey: join(folder, "ca-key.pem"),
    cert: join(folder, "gateway.pem"),
    key: join(folder, "gateway-key.pem"),
  };
  const authorityWayOut = `Restore it from a backup, or delete ${paths.caCert} and ${paths.caKey} to create a new authority, which clients must then trust.`;
  const what = "the authority of the gateway's certificate";
  const caCert = await readStateFile(paths.caCert, { what, wayOut: authorityWayOut, parse: parseCertificate });
  const caKey = await readStateFile(paths.caKey, { what, wayOut: authorityWayOut, parse: parseKey });
  if (caCert !== undefined && caKey !== undefined && !belongTogether(caCert, caKey)) {
    throw TlsErrors.UNREADABLE(`${paths.caKey} does not belong to ${paths.caCert}. ${authorityWayOut}`);
  }
  // The authority replaces these two whatever their problem is.
  const own = { what: "the gateway's certificate", wayOut: "", parse: (text: string) => text };
  const [cert, key] = [await readStateFile(paths.cert, own), await readStateFile(paths.key, own)];
  const nowMs = host.clock.now();
  if (caCert && caKey && cert && key && holds(cert, caCert, names, nowMs) && belongTogether(cert, key))
    return { cert: cert + caCert, key };
  const authority = caCert && caKey ? { cert: caCert, key: caKey } : await makeAuthority(host, nowMs);
  const leaf = await makeCertificate(host, authority, names, nowMs);
  await replaceFile(paths.caKey, authority.key, 0o600);
  await replaceFile(paths.caCert, authority.cert, 0o644);
  await replaceFile(paths.key, leaf.key, 0o600);
  await replaceFile(paths.cert, leaf.cert, 0o644);
  host.log.info({ folder, names }, "certificate for the gateway created");
  return { cert: leaf.cert + authority.cert, key: leaf.key };
}

/** When the first certificate of a PEM text ends. */
export function certificateEnd(pem: string): number {
  return new NodeCertificate(pem).validToDate.getTime();
}

function holds(cert: string, caCert: string, names: readonly string[], nowMs: number): boolean {
  try {
    const certificate = new NodeCertificate(cert);
    return (
      certificate.validToDate.getTime() - nowMs > RENEW_DAYS * DAY_MS &&
      certificate.verify(new NodeCertificate(caCert).publicKey) &&
      names.every((name) => (isIp(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined)
    );
  } catch {
    return false;
  }
}

/** @throws Error when the text is not a certificate */
function parseCertificate(text: string): string {
  void new NodeCertificate(text);
  return text;
}

/** @throws Error when the text is not a key */
function parseKey(text: string): string {
  void createPrivateKey(text);
  return text;
}

function belongTogether(cert: string, key: string): boolean {
  try {
    return new NodeCertificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

const isIp = (name: string) => /^[\d.]+$/.test(name) || name.includes(":");
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** The X.509 library is loaded only to create something. Most starts find everything. */
async function library() {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  x509.cryptoProvider.set(webcrypto);
  return x509;
}

async function makeAuthority(host: Host, nowMs: number): Promise<TlsMaterial> {
  const x509 = await library();
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(host),
    name: "CN=posthouse CA",
    notBefore: new Date(nowMs - DAY_MS),
    notAfter: new Date(nowMs + AUTHORITY_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${cert.toString("pem")}\n`, key: await exportKey(keys.privateKey) };
}

async function makeCertificate(
  host: Host,
  authority: TlsMaterial,
  names: readonly string[],
  nowMs: number,
): Promise<TlsMaterial> {
  const x509 = await library();
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const issuer = new x509.X509Certificate(authority.cert);
  const der = Buffer.from(authority.key.replaceAll(/-----[A-Z ]+-----|\s/g, ""), "base64");
  const signingKey = await webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]);
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: serial(host),
    subject: "CN=posthouse gateway",
    issuer: issuer.subject,
    notBefore: new Date(nowMs - DAY_MS),
    notAfter: new Date(nowMs + CERTIFICATE_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: isIp(value) ? "ip" : "dns", value }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${cert.toString("pem")}\n`, key: await exportKey(keys.privateKey) };
}

function serial(host: Host): string {
  // Positive, and without a leading zero byte.
  const bytes = host.random.bytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

async function exportKey(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}
