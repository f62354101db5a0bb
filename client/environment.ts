/** Options of `connect` that come from the environment, so that the same program runs everywhere. Given options override them. */
import type { ConnectOptions } from "./connect-options.ts";

/** The options and their variables. Those that begin with `POSTHOUSE_CONTROL_`, and `POSTHOUSE_TOKEN`, are those of the program `posthouse`. */
export const CLIENT_VARIABLES = {
  url: "POSTHOUSE_CONTROL_URLS",
  token: "POSTHOUSE_TOKEN",
  controlCaFile: "POSTHOUSE_CONTROL_CA_FILE",
  controlFingerprint: "POSTHOUSE_CONTROL_FINGERPRINT",
  app: "POSTHOUSE_APP",
  namespace: "POSTHOUSE_NAMESPACE",
  profile: "POSTHOUSE_PROFILE",
  instance: "POSTHOUSE_INSTANCE",
  zone: "POSTHOUSE_ZONE",
  address: "POSTHOUSE_ADDRESS",
  lastKnownGoodFile: "POSTHOUSE_LAST_KNOWN_GOOD_FILE",
} as const satisfies Partial<Record<keyof ConnectOptions, string>>;

/** The control API of `posthouse up` on the same machine. */
const DEFAULT_URL = "http://127.0.0.1:8500";

type FromEnvironment = { readonly [Name in keyof typeof CLIENT_VARIABLES]: string | undefined };

/** The options with values of the environment where they are absent. An empty variable counts as absent. */
export function withEnvironment(
  options: ConnectOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Omit<ConnectOptions, "url"> & { readonly url: readonly string[] } {
  const found = Object.fromEntries(
    Object.entries(CLIENT_VARIABLES).map(([name, variable]) => [name, environment[variable] || undefined]),
  ) as FromEnvironment;
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const { url = found.url?.split(",").map((one) => one.trim()) ?? DEFAULT_URL } = options;
  return { ...found, ...given, url: typeof url === "string" ? [url] : url };
}
