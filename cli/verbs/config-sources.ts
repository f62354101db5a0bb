/** `posthouse config sources`; why one is behind is on standard error. */
import type { Command } from "commander";
import type { SourceStatus } from "#config-server/api";
import { defineListing } from "../listing.ts";
import type { VerbContext } from "../verb.ts";

/** A commit is told from others by this many characters. */
const COMMIT_CHARS = 12;

export function define(command: Command, context: VerbContext): void {
  defineListing<SourceStatus, undefined>(command, context, {
    columns: [
      ["SOURCE", ({ name }) => name],
      ["TYPE", ({ type = "elsewhere" }) => type],
      ["SETS", ({ sets }) => `${sets} sets`],
      ["COMMIT", ({ released }) => released?.commit.slice(0, COMMIT_CHARS)],
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
    empty: "no source is set (configSources)",
  });
}

function stateOf({ detached, error, released }: SourceStatus): string {
  if (detached) return `detached by ${detached.by}`;
  return error ? error.code : released ? "live" : "not read yet";
}
