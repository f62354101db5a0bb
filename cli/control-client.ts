/** A client of the control plane for one command: the settings `controlUrls` and `token` say where, and who asks. */
import { systemHost } from "#base/system";
import { Client, fetchTransport } from "#client";
import { type LoadedSettings, SettingsErrors, spellings } from "#settings";

/** The settings that a command which talks to a control plane takes. */
export const CONTROL_SETTINGS = ["controlUrls", "token"] as const;

/** Runs with a client, and closes its connections afterwards. @throws SETTINGS_INVALID without a token */
export async function withControlClient<T>(
  { values }: LoadedSettings,
  run: (client: Client) => Promise<T>,
): Promise<T> {
  if (values.token === undefined) {
    throw SettingsErrors.INVALID(`A token for ${values.controlUrls.join(", ")} is needed: ${spellings("token")}.`);
  }
  await using transport = fetchTransport({ urls: values.controlUrls });
  return await run(new Client(systemHost({ logLevel: values.logLevel }), { transport, token: values.token }));
}
