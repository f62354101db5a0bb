/** How a process verifies a control plane in another process. */
import type { ControlTls } from "#client";
import type { Settings } from "#settings";
import { readAuthorities } from "./certificates.ts";

/** @throws TLS_UNREADABLE */
export async function readControlTls({
  controlCaFile,
  controlFingerprint,
}: Pick<Settings, "controlCaFile" | "controlFingerprint">): Promise<ControlTls> {
  return {
    ...(controlCaFile === undefined ? {} : { ca: (await readAuthorities(controlCaFile, "controlCaFile")).toString() }),
    ...(controlFingerprint === undefined ? {} : { fingerprint: controlFingerprint }),
  };
}
