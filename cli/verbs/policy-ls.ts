/** `posthouse policy ls`: lists policies, the built-in ones first. */
import type { Command } from "commander";
import type { PolicySummary } from "#access/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

/** Characters of a description in the list. `policy show` has all of it. */
const DESCRIPTION_MAX = 44;

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse policy", "posthouse policy show agent", "posthouse policy copy agent my-agent"]);
  defineListing<PolicySummary, undefined>(command, context, {
    columns: [
      ["NAME", ({ name }) => name],
      ["BUILT IN", ({ builtIn }) => (builtIn ? "yes" : "no")],
      ["RULES", ({ rules }) => rules.length],
      ["USED BY", ({ usedBy }) => usedBy.length],
      ["DESCRIPTION", ({ description = "" }) => shortened(description)],
    ],
    given: () => undefined,
    rows: async (client) => (await client.access.policies()).policies,
    empty: "no policy exists",
  });
}

function shortened(text: string): string {
  return text.length <= DESCRIPTION_MAX ? text : `${text.slice(0, DESCRIPTION_MAX - 1)}…`;
}
