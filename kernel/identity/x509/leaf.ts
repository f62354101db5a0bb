/**
 * Certificates of workloads. The library takes four milliseconds for one, so their bytes are put together here from parts that the
 * library or OpenSSL made: the issuer's name, its key identifier, the subject's key. The signature is OpenSSL's.
 */
import { type KeyObject, sign } from "node:crypto";
import ipaddr from "ipaddr.js";
import { der, DER_TAGS, derBits, derOid, derTime } from "./der.ts";
import { keyIdentifier, pemOf } from "./library.ts";

const { integer, octets, sequence, set, utf8 } = DER_TAGS;
const TRUE = Buffer.from([0x01, 0x01, 0xff]);
const VERSION_3 = der(0xa0, der(integer, Buffer.from([2])));

/** Every workload has the same subject: its name is the SPIFFE id. */
const SUBJECT = der(sequence, der(set, der(sequence, derOid("2.5.4.10"), der(utf8, Buffer.from("posthouse")))));

function extension(oid: string, critical: boolean, value: Buffer): Buffer {
  return der(sequence, derOid(oid), ...(critical ? [TRUE] : []), der(octets, value));
}

/** Not an authority; signs handshakes only; both ends of TLS. */
const FIXED = Buffer.concat([
  extension("2.5.29.19", true, der(sequence)),
  extension("2.5.29.15", true, Buffer.from([0x03, 0x02, 0x07, 0x80])),
  extension("2.5.29.37", false, der(sequence, derOid("1.3.6.1.5.5.7.3.1"), derOid("1.3.6.1.5.5.7.3.2"))),
]);

/** Tags of names in RFC 5280, section 4.2.1.6. */
const DNS_NAME = 0x82;
const URI_NAME = 0x86;
const IP_NAME = 0x87;

export interface LeafIssuer {
  readonly key: KeyObject;
  /** The issuer's name and key identifier in DER, as its certificate has them. */
  readonly name: Buffer;
  readonly keyIdentifier: Buffer | undefined;
}

export interface LeafRequest {
  /** 32 hexadecimal digits, of which the first is 4 to 7, so that it is positive and has 16 bytes. */
  readonly serial: string;
  readonly spki: Buffer;
  readonly spiffeId: string;
  readonly dns: readonly string[];
  readonly ips: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A signed certificate, in PEM. */
export function makeLeaf(issuer: LeafIssuer, request: LeafRequest): string {
  const { algorithm, hash } = signatureOf(issuer.key);
  const extensions = [
    FIXED,
    extension("2.5.29.17", false, alternativeNames(request)),
    extension("2.5.29.14", false, der(octets, keyIdentifier(request.spki))),
    ...(issuer.keyIdentifier ? [extension("2.5.29.35", false, der(sequence, der(0x80, issuer.keyIdentifier)))] : []),
  ];
  const signed = der(
    sequence,
    VERSION_3,
    der(integer, Buffer.from(request.serial, "hex")),
    algorithm,
    issuer.name,
    der(sequence, derTime(request.notBeforeMs), derTime(request.notAfterMs)),
    SUBJECT,
    request.spki,
    der(0xa3, der(sequence, ...extensions)),
  );
  const signature = sign(hash, signed, issuer.key);
  return pemOf("CERTIFICATE", der(sequence, signed, algorithm, derBits(signature)));
}

function alternativeNames({ spiffeId, dns, ips }: LeafRequest): Buffer {
  return der(
    sequence,
    der(URI_NAME, Buffer.from(spiffeId, "latin1")),
    ...dns.map((name) => der(DNS_NAME, Buffer.from(name, "latin1"))),
    ...ips.map((ip) => der(IP_NAME, Buffer.from(ipaddr.parse(ip).toByteArray()))),
  );
}

const NULL = Buffer.from([0x05, 0x00]);
const ECDSA_256 = { algorithm: der(sequence, derOid("1.2.840.10045.4.3.2")), hash: "sha256" };
const ECDSA_384 = { algorithm: der(sequence, derOid("1.2.840.10045.4.3.3")), hash: "sha384" };
const RSA_256 = { algorithm: der(sequence, derOid("1.2.840.113549.1.1.11"), NULL), hash: "sha256" };
const ED25519 = { algorithm: der(sequence, derOid("1.3.101.112")), hash: undefined };

/** How a key signs. Keys of other types are never those of an authority here. */
function signatureOf(key: KeyObject): { readonly algorithm: Buffer; readonly hash: string | undefined } {
  if (key.asymmetricKeyType === "rsa") return RSA_256;
  if (key.asymmetricKeyType === "ed25519") return ED25519;
  return key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? ECDSA_384 : ECDSA_256;
}
