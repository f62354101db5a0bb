/** `posthouse gateway key`: an API key for a consumer, and its hash for the config. */
import { createHash, randomBytes } from "node:crypto";
import type { Command } from "commander";
import type { VerbContext } from "../verb.ts";

/** Bytes of an API key. 2^256 values cannot be guessed, so a config may contain the hash. */
const KEY_BYTES = 32;

export function define(command: Command, { terminal }: VerbContext): void {
  command.action(() => {
    const key = randomBytes(KEY_BYTES).toString("base64url");
    terminal.out(`key:    ${key}\nsha256: ${createHash("sha256").update(key).digest("hex")}\n`);
  });
}
