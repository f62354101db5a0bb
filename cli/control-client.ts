/** A client of the control plane for one command, with the settings `controlUrls` and `token`. */
import type { Host, Log } from "#base";
import { libraryHost } from "#base/library";
import { Client, fetchTransport } from "#client";
import { type LoadedSettings, SettingsErrors } from "#settings";

/** The host of a command. Its warnings are lines on standard error. */
export function commandHost(): Host {
  const warn = (_fields: object, message: string) => void process.stderr.write(`posthouse: ${message}\n`);
  const nothing = (): void => {};
  const log: Log = { debug: nothing, info: nothing, warn, error: warn, child: () => log };
  return libraryHost(log);
}

/** Runs with a client, and closes its connections afterwards. @throws SETTINGS_INVALID without a token */
export async function withControlClient<T>(
  { values }: LoadedSettings,
  run: (client: Client) => Promise<T>,
): Promise<T> {
  if (values.token === undefined) {
    throw SettingsErrors.INVALID(
      `A token for ${values.controlUrls.join(", ")} is required. Use export POSTHOUSE_TOKEN=ph_…, or write "token: ph_…" into a settings file. ` +
        "An operator issues one with: posthouse tokens create NAME --role ROLE.",
    );
  }
  await using transport = fetchTransport({ urls: values.controlUrls });
  return await run(new Client(commandHost(), { transport, token: values.token }));
}
