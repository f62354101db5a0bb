/** `posthouse acl denials`: lists requests that were refused lately, for want of a valid caller or of a right. */
import type { Command } from "commander";
import type { Denial } from "#authorization/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import { clockText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse acl denials", "posthouse acl denials -o json"]);
  defineListing<Denial, undefined>(command, context, {
    columns: [
      // The time of day: the server keeps the latest refusals only.
      ["AT", ({ at }) => clockText(at)],
      ["CALLER", ({ principal, address }) => principal?.name ?? address],
      ["CODE", ({ code, status }) => code ?? status],
      ["ACTION", ({ action }) => action],
      ["REQUEST", ({ method, route }) => `${method} ${route}`],
    ],
    given: () => undefined,
    rows: async (client) => (await client.access.denials()).denials,
    empty: "no request was refused since this server started",
  });
}
