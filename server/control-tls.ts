/** How a process verifies a control plane in another process. */
import { readFile } from "node:fs/promises";
import { messageOf } from "#base";
import type { ControlTls } from "#client";
import type { Settings } from "#settings";
import { TlsErrors } from "./certificates.ts";

/** @throws TLS_UNREADABLE */
export async function readControlTls({
  controlCaFile,
  controlFingerprint,
}: Pick<Settings, "controlCaFile" | "controlFingerprint">): Promise<ControlTls> {
  return {
    ...(controlCaFile === undefined ? {} : { ca: await readCa(controlCaFile) }),
    ...(controlFingerprint === undefined ? {} : { fingerprint: controlFingerprint }),
  };
}

async function readCa(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw TlsErrors.UNREADABLE(`${path} cannot be read: ${messageOf(cause)} (setting controlCaFile).`, { cause });
  });
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw TlsErrors.UNREADABLE(`${path} contains no PEM certificate (setting controlCaFile).`);
}
