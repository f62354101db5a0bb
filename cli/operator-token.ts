/** A new operator token, written straight into the store: whoever may write the data folder may operate it anyway. */
import { systemHost } from "#base/system";
import type { LoadedSettings } from "#settings";
import { issueOfflineToken } from "#server";

/** @throws STORE_LOCKED while a server runs on the data folder, and what opening a store throws */
export async function issueOperatorToken({ values }: LoadedSettings): Promise<void> {
  const token = await issueOfflineToken(systemHost({ logLevel: values.logLevel }), values);
  process.stdout.write(`${token}\n`);
}
