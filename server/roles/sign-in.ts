/** Sign-in of people by OpenID Connect, from the settings: what a mistake there breaks is said at the start, and not to a person. */
import { readFile } from "node:fs/promises";
import type { OidcSettings } from "#access";
import { messageOf } from "#base";
import { isLoopback } from "#http";
import { type SettingName, type Settings, spellings } from "#settings";
import { ServerErrors } from "../api.ts";
import type { Parts } from "./parts.ts";

/** Addresses that mean every interface, and so are not the address of anything. */
export const EVERY_INTERFACE: ReadonlySet<string> = new Set(["0.0.0.0", "::", "[::]"]);

/** Undefined: people do not sign in by OpenID Connect. @throws SERVER_SETTINGS_CONFLICT */
export async function oidcSettings(settings: Settings): Promise<OidcSettings | undefined> {
  const { oidcIssuer: issuer, oidcClientId: clientId, oidcUserClaim, oidcGroupsClaim, host, publicUrl } = settings;
  if (issuer === undefined && clientId === undefined) return undefined;
  if (issuer === undefined || clientId === undefined) {
    const missing = issuer === undefined ? "oidcIssuer" : "oidcClientId";
    throw conflict(missing, "Sign-in by OpenID Connect needs both oidcIssuer and oidcClientId");
  }
  const { protocol, hostname } = new URL(issuer);
  if (protocol === "http:" && !isLoopback(hostname)) {
    throw conflict(
      "oidcIssuer",
      `The issuer ${issuer} has no TLS, so anybody on the way could sign in as anybody. Use https`,
    );
  }
  if (publicUrl === undefined && EVERY_INTERFACE.has(host)) {
    throw conflict(
      "publicUrl",
      `The identity provider sends browsers back to the console, and ${host} is not an address that browsers can open`,
    );
  }
  if (!settings.oidcScopes.includes("openid")) {
    throw conflict("oidcScopes", "The scope openid is missing, without which the provider does not say who signed in");
  }
  return {
    issuer,
    clientId,
    clientSecret: await clientSecret(settings),
    scopes: settings.oidcScopes,
    claims: { user: oidcUserClaim, groups: oidcGroupsClaim },
    ca: await textOf("oidcCaFile", settings.oidcCaFile),
    sessionSeconds: settings.oidcSessionSeconds,
  };
}

/** The address of the console as browsers use it; undefined while it is unknown. */
export function publicUrlOf({ settings, addresses }: Pick<Parts, "settings" | "addresses">): string | undefined {
  return settings.publicUrl ?? (EVERY_INTERFACE.has(settings.host) ? undefined : addresses.controlApi);
}

async function clientSecret({ oidcClientSecret: secret, oidcClientSecretFile: file }: Settings) {
  if (secret !== undefined && file !== undefined) {
    throw conflict("oidcClientSecret", "The client secret can come from a setting or from a file, but not from both");
  }
  if (file === undefined) return secret;
  const text = (await textOf("oidcClientSecretFile", file))?.trim();
  if (text) return text;
  throw conflict("oidcClientSecretFile", `${file} is empty`);
}

/** The text of a file that a setting names. */
async function textOf(name: SettingName, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw conflict(name, `${path} cannot be read: ${messageOf(cause)}`, cause);
  }
}

function conflict(name: SettingName, problem: string, cause?: unknown) {
  return ServerErrors.SETTINGS_CONFLICT(`${problem}: ${spellings(name)}.`, cause === undefined ? {} : { cause });
}
