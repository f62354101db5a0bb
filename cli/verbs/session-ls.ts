/** `posthouse session ls`: lists browsers and devices that are signed in. */
import type { Command } from "commander";
import type { SignInSummary } from "#access/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import { minuteText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

/** `2026-`. */
const YEAR_CHARS = 5;

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse session", "posthouse session end 0123456789abcdef-0123456789abcdef"]);
  defineListing<SignInSummary, undefined>(command, context, {
    columns: [
      ["ID", ({ id }) => id],
      ["NAME", ({ name }) => name],
      ["BY", ({ kind, method }) => (kind === "device" ? kind : method)],
      // Without the year: sign-ins last hours, and a line has 80 columns. `-o json` has every fact.
      ["LAST USED", ({ lastUsedAt, since }) => minuteText(lastUsedAt ?? since)?.slice(YEAR_CHARS)],
      ["FROM", ({ address }) => address],
    ],
    given: () => undefined,
    rows: async (client) => (await client.access.signIns()).signIns,
    empty: "no browser or device is signed in",
  });
}
