/** The ways of signing in beside tokens: people by OpenID Connect, and devices that a person confirms. */
import type { FastifyInstance } from "fastify";
import {
  type Access,
  DeviceLogins,
  devicePlugin,
  OidcProvider,
  oidcPlugin,
  type OidcSettings,
  OidcSignIn,
  StateSeal,
} from "#access";
import type { Host } from "#base";
import type { BadTokens } from "#http";
import type { Store } from "#store";

/** The key that members share to seal what browsers keep during a sign-in. */
const SEAL_KEY = "/access/sign-in-key";

export interface SignInOptions {
  /** The identity provider of people. Absent: none. */
  readonly oidc?: OidcSettings | undefined;
  /** The address of the console as browsers use it; undefined until the API listens, and where it is unknown. */
  readonly publicUrl?: () => string | undefined;
}

interface SignInParts {
  readonly host: Host;
  readonly store: Store;
  readonly access: Access;
  readonly badTokens: BadTokens;
}

export function signInRoutes(app: FastifyInstance, parts: SignInParts, options: SignInOptions): void {
  const { host, store, access, badTokens } = parts;
  const { publicUrl = () => undefined } = options;
  const provider = options.oidc && new OidcProvider(host, options.oidc);
  if (provider) app.addHook("onClose", () => provider[Symbol.asyncDispose]());
  const oidc =
    provider &&
    new OidcSignIn(host, { provider, seal: new StateSeal(host, store, SEAL_KEY), people: access.people, publicUrl });
  oidcPlugin(app, { host, badTokens, oidc });
  const logins = new DeviceLogins(host, store);
  devicePlugin(app, { host, people: access.people, logins, badTokens, publicUrl });
}
