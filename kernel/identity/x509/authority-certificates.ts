/** Makes the certificates of the authority: a root, and intermediates below it. Their keys leave this process sealed only. */
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate as NodeCertificate } from "node:crypto";
import type { Random } from "#base";
import { BACKDATE_MS, INTERMEDIATE_MS, ROOT_MS } from "../core/authority-record.ts";
import { DER_TAGS, derOid } from "./der.ts";
import { contentOf, DerReader, type DerValue } from "./der-reader.ts";
import { directCrypto, directKey } from "./direct-crypto.ts";
import { keyIdentifier, spkiOf, x509Library } from "./library.ts";

const { octets, sequence } = DER_TAGS;
const SERIAL_BYTES = 16;
/** ASN.1 values that are read in a certificate: an imported one of a company has dozens of extensions at most. */
const VALUES_MAX = 400;
/** The tag of the extensions of a certificate, and the type of its key identifier. */
const EXTENSIONS = 0xa3;
const KEY_IDENTIFIER = derOid("2.5.29.14");

/** A certificate of the authority, and its key. */
export interface AuthorityPair {
  readonly certificate: NodeCertificate;
  readonly key: KeyObject;
}

/** A random serial number of 128 bits, less two: positive, and always of 16 bytes. */
export function randomSerial(random: Random): string {
  const bytes = random.bytes(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

/** A new root, whose name ends with a part of its serial number, so that the two roots of a rotation have different names. */
export async function makeRoot(random: Random, trustDomain: string, nowMs: number): Promise<AuthorityPair> {
  const key = newKey();
  const serial = randomSerial(random);
  const name = `O=posthouse, OU=${trustDomain}, CN=root ${serial.slice(0, 8)}`;
  const certificate = await makeAuthorityCertificate({
    subject: name,
    issuer: name,
    serial,
    notAfterMs: nowMs + ROOT_MS,
    nowMs,
    spki: spkiOf(key),
    signer: key,
    issuerKeyIdentifier: keyIdentifier(spkiOf(key)),
    levels: 1,
  });
  return { certificate, key };
}

/** A new intermediate of a root. It ends with its root at the latest. */
export async function makeIntermediate(
  random: Random,
  root: AuthorityPair,
  { trustDomain, nowMs }: { readonly trustDomain: string; readonly nowMs: number },
): Promise<AuthorityPair> {
  const key = newKey();
  const serial = randomSerial(random);
  const certificate = await makeAuthorityCertificate({
    subject: `O=posthouse, OU=${trustDomain}, CN=intermediate ${serial.slice(0, 8)}`,
    issuer: root.certificate,
    serial,
    notAfterMs: Math.min(nowMs + INTERMEDIATE_MS, root.certificate.validToDate.getTime()),
    nowMs,
    spki: spkiOf(key),
    signer: root.key,
    issuerKeyIdentifier: subjectKeyIdentifier(root.certificate),
    levels: 0,
  });
  return { certificate, key };
}

/** The key identifier in a certificate; undefined when it has none, as in some imported ones. */
export function subjectKeyIdentifier({ raw }: NodeCertificate): Buffer | undefined {
  const reader = new DerReader(VALUES_MAX);
  const fields = fieldsOf(reader, raw);
  const extensions = reader.within(contentOf(fields.at(-1), EXTENSIONS), sequence);
  for (const extension of extensions) {
    const [type, ...rest] = reader.all(contentOf(extension, sequence));
    if (type?.whole.equals(KEY_IDENTIFIER) !== true) continue;
    return reader.only(contentOf(rest.at(-1), octets), octets).content;
  }
  return undefined;
}

/** The subject of a certificate in DER. */
export function subjectName({ raw }: NodeCertificate): Buffer {
  // After the serial number, the algorithm, the issuer and the validity.
  const name = fieldsOf(new DerReader(VALUES_MAX), raw)[5];
  contentOf(name, sequence);
  return name?.whole ?? raw;
}

/** The fields of a certificate that an authority has: of version 3, which its basic constraints need. Rules: RFC 5280, section 4.1. */
function fieldsOf(reader: DerReader, raw: Buffer): DerValue[] {
  const [signed] = reader.within(raw, sequence);
  return reader.all(contentOf(signed, sequence));
}

function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

interface AuthorityCertificateOptions {
  readonly subject: string;
  /** A name, or the certificate of the issuer. */
  readonly issuer: string | NodeCertificate;
  readonly serial: string;
  readonly nowMs: number;
  readonly notAfterMs: number;
  readonly spki: Buffer;
  readonly signer: KeyObject;
  readonly issuerKeyIdentifier: Buffer | undefined;
  /** Authorities that may follow below it. */
  readonly levels: number;
}

async function makeAuthorityCertificate(options: AuthorityCertificateOptions): Promise<NodeCertificate> {
  const x509 = await x509Library();
  const { issuer, issuerKeyIdentifier, signer, spki } = options;
  const algorithm = algorithmOf(signer);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: options.serial,
      subject: options.subject,
      issuer: typeof issuer === "string" ? issuer : new x509.X509Certificate(issuer.raw).subjectName,
      notBefore: new Date(options.nowMs - BACKDATE_MS),
      notAfter: new Date(options.notAfterMs),
      signingAlgorithm: algorithm,
      publicKey: new x509.PublicKey(spki),
      signingKey: directKey(signer, algorithm),
      extensions: [
        new x509.BasicConstraintsExtension(true, options.levels, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        new x509.SubjectKeyIdentifierExtension(keyIdentifier(spki).toString("hex")),
        ...(issuerKeyIdentifier ? [new x509.AuthorityKeyIdentifierExtension(issuerKeyIdentifier.toString("hex"))] : []),
      ],
    },
    directCrypto,
  );
  return new NodeCertificate(Buffer.from(certificate.rawData));
}

/** The algorithm by which a key signs, in the words of WebCrypto. */
function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject) {
  if (asymmetricKeyType === "rsa") return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  if (asymmetricKeyType === "ed25519") return { name: "Ed25519" };
  const isP384 = asymmetricKeyDetails?.namedCurve === "secp384r1";
  return { name: "ECDSA", namedCurve: isP384 ? "P-384" : "P-256", hash: isP384 ? "SHA-384" : "SHA-256" };
}

/** A private key in PKCS #8, to be sealed. Its owner overwrites it afterwards. */
export function keyBytes(key: KeyObject): Buffer {
  return key.export({ type: "pkcs8", format: "der" });
}

/** @throws Error when the bytes are not a private key */
export function keyFromBytes(bytes: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(bytes), format: "der", type: "pkcs8" });
}
