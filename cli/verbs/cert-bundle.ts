/** `posthouse cert bundle`: prints the trusted roots. Standard output has only PEM, so that a script can store it. */
import type { Command } from "commander";
import { controlAction } from "../control-verb.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse cert bundle > bundle.pem", "curl --cacert bundle.pem https://localhost:8443/"]);
  controlAction(command, context, async ({ client, terminal }) => {
    const { pem, fingerprints } = await client.identity.trustBundle();
    terminal.out(pem);
    for (const fingerprint of fingerprints) terminal.err(`SHA-256 ${fingerprint}\n`);
  });
}
