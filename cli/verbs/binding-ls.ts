/** `posthouse binding ls`: lists which policies people have. */
import type { Command } from "commander";
import type { Binding } from "#access/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import { limitsText } from "../policy-text.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, [
    "posthouse binding",
    "posthouse binding set group:orders --policy publisher --namespaces prod",
  ]);
  defineListing<Binding, undefined>(command, context, {
    columns: [
      ["SUBJECT", ({ subject }) => subject],
      ["POLICIES", ({ policies }) => policies.join(", ")],
      ["LIMITS", limitsText],
    ],
    given: () => undefined,
    rows: async (client) => (await client.access.bindings()).bindings,
    empty:
      "no binding exists, so no person can sign in by OpenID Connect: posthouse binding set group:NAME --policy viewer",
  });
}
