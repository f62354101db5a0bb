/** The X.509 library. Most starts issue nothing, so it is loaded when first needed. */
import { createPublicKey, hash, type KeyObject, webcrypto, type X509Certificate as NodeCertificate } from "node:crypto";
import type * as peculiar from "@peculiar/x509";

export type X509Library = typeof peculiar;

let loading: Promise<X509Library> | undefined;

export function x509Library(): Promise<X509Library> {
  loading ??= load();
  return loading;
}

async function load(): Promise<X509Library> {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  x509.cryptoProvider.set(webcrypto);
  return x509;
}

/** SHA-256 of a certificate: its fingerprint, and its id in the store. */
export function fingerprintOf(certificate: NodeCertificate): string {
  return hash("sha256", certificate.raw, "hex");
}

/** An id of a key, for the key identifiers of certificates. Rules: RFC 7093, section 2, method 1. */
export function keyIdentifier(spki: Buffer): Buffer {
  return hash("sha256", spki, "buffer").subarray(0, 20);
}

export function spkiOf(key: KeyObject): Buffer {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return publicKey.export({ type: "spki", format: "der" });
}

/** Bytes as PEM. */
export function pemOf(label: "CERTIFICATE" | "PRIVATE KEY" | "CERTIFICATE REQUEST", der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]*)-----END \1-----/g;

/** The blocks of a PEM text, with their labels. Text around them is allowed, as other tools write it. */
export function pemBlocks(text: string): { readonly label: string; readonly der: Buffer }[] {
  return [...text.matchAll(BLOCK)].map(([, label = "", base64 = ""]) => ({
    label,
    der: Buffer.from(base64, "base64"),
  }));
}
