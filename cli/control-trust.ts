/**
 * How a command verifies a control plane with an https URL: by a file of authorities, by a fingerprint, or by what its context stores. The
 * trust of a context applies to the URLs of that context only, like its token.
 */
import { readFile } from "node:fs/promises";
import { type ControlTls, httpTransport } from "#client/light";
import type { ContextEntry } from "./contexts.ts";
import { CliErrors } from "./errors.ts";
import { failUnreadable } from "./input.ts";

/** As flags, the environment and a settings file state it. */
export interface StatedTrust {
  readonly controlCaFile?: string | undefined;
  readonly controlFingerprint?: string | undefined;
}

const FINGERPRINT = /^(?:[0-9a-f]{2}:?){31}[0-9a-f]{2}$/i;

/** @throws CLI_ARGUMENT_INVALID */
export function requireFingerprint(text: string): string {
  if (FINGERPRINT.test(text)) return text.replaceAll(":", "").toLowerCase();
  throw CliErrors.ARGUMENT_INVALID(
    `"${text}" is not a fingerprint. Use the 64 hex digits that posthouse up prints there, with or without colons.`,
  );
}

/** @throws CLI_FILE_UNREADABLE, CLI_ARGUMENT_INVALID */
export async function readAuthorities(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch(failUnreadable(path));
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw CliErrors.ARGUMENT_INVALID(`${path} contains no PEM certificate.`);
}

/** `context`: the one whose URLs are called, if any. Undefined: the authorities of the system. @throws CLI_FILE_UNREADABLE */
export async function trustOf(
  { controlCaFile, controlFingerprint }: StatedTrust,
  context?: Pick<ContextEntry, "ca" | "fingerprint">,
): Promise<ControlTls | undefined> {
  if (controlCaFile === undefined && controlFingerprint === undefined) {
    const { ca, fingerprint } = context ?? {};
    return ca === undefined && fingerprint === undefined ? undefined : { ca, fingerprint };
  }
  return {
    ...(controlCaFile === undefined ? {} : { ca: await readAuthorities(controlCaFile) }),
    ...(controlFingerprint === undefined ? {} : { fingerprint: requireFingerprint(controlFingerprint) }),
  };
}

/** The authorities of a control plane that was verified by a fingerprint, so that later commands need no look at its certificate. */
export async function authoritiesOf(
  urls: readonly string[],
  tls: ControlTls,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (tls.fingerprint === undefined || !urls.every((url) => url.startsWith("https:"))) return tls.ca;
  await using transport = httpTransport({ urls, tls });
  const answer = await transport.request({ method: "GET", path: "/v1/trust-bundle", signal });
  if (answer.status !== 200) return undefined;
  const { pem, fingerprints } = JSON.parse(await answer.text()) as { pem?: string; fingerprints?: string[] };
  // The authority of the control plane is not always the one that its own certificate comes from.
  return fingerprints?.includes(tls.fingerprint) ? pem : undefined;
}
