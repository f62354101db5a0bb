/** `posthouse rules calls`: lists the calls of the last hour to services of a namespace, and what the rules say about each. */
import type { Command } from "commander";
import type { InNamespace } from "../catalog.ts";
import { defineListing } from "../listing.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

interface Row {
  readonly from: string;
  readonly to: string;
  readonly requests: number;
  readonly allowed: boolean;
  readonly reportOnly: boolean;
  readonly why: string;
}

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the called services");
  withExamples(command, ["posthouse rules calls", "posthouse rules calls -o json"]);
  defineListing<Row, InNamespace>(command, context, {
    columns: [
      ["FROM", ({ from }) => from],
      ["TO", ({ to }) => to],
      ["REQUESTS", ({ requests }) => requests],
      ["VERDICT", ({ allowed, reportOnly }) => (allowed ? "allowed" : reportOnly ? "reported" : "denied")],
      ["WHY", ({ why }) => why],
    ],
    given: (_args, { namespace }) => ({ namespace: namespace as string }),
    rows: async (client, { namespace }) => (await client.serviceRules.get({ namespace })).calls,
    empty: "no call to a service of this namespace was reported in the last hour",
  });
}
