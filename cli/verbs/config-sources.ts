/** `posthouse config sources`. Errors of sources are written to standard error. */
import type { Command } from "commander";
import type { SourceStatus } from "#config-server/api";
import { defineListing } from "../listing.ts";
import { shortCommit } from "../config-report.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  defineListing<SourceStatus, undefined>(command, context, {
    columns: [
      ["SOURCE", ({ name }) => name],
      ["TYPE", ({ type = "elsewhere" }) => type],
      ["SETS", ({ sets }) => `${sets} sets`],
      ["COMMIT", ({ released }) => released && shortCommit(released.commit)],
      ["STATE", stateOf],
    ],
    given: () => undefined,
    async rows(client) {
      const { sources } = await client.config.sources();
      for (const { name, error, detached } of sources) {
        if (error && !detached) context.terminal.err(`${name}: ${error.detail}\n`);
      }
      return sources;
    },
    empty: "the setting configSources has no source",
  });
}

function stateOf({ detached, error, released }: SourceStatus): string {
  if (detached) return `detached by ${detached.by}`;
  return error ? error.code : released ? "live" : "not read yet";
}
