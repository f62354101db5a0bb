/** A new key for secrets, printed as a line of a key file. It is kept nowhere. */
import { systemHost } from "#base/system";
import { newSecretKey } from "#server";

export function printSecretKey(): void {
  process.stdout.write(`${newSecretKey(systemHost({ logLevel: "error" }))}\n`);
}
