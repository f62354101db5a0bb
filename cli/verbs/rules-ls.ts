/** `posthouse rules ls`: lists the rules between the services of a namespace. */
import type { Command } from "commander";
import type { InNamespace } from "../catalog.ts";
import { defineListing } from "../listing.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

interface Row {
  readonly line?: number | undefined;
  readonly rule: string;
  /** `strict` or `reportOnly`: true. Absent for a rule. */
  readonly setting?: string | undefined;
}

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the called services");
  withExamples(command, ["posthouse rules ls", "posthouse rules ls --namespace prod -o json"]);
  defineListing<Row, InNamespace>(command, context, {
    columns: [
      ["LINE", ({ line }) => line],
      ["RULE", ({ rule }) => rule],
    ],
    given: (_args, { namespace }) => ({ namespace: namespace as string }),
    async rows(client, { namespace }) {
      const { strict, reportOnly, rules } = await client.serviceRules.get({ namespace });
      return [
        ...(strict ? [{ rule: "strict: a service without rules is closed", setting: "strict" }] : []),
        ...(reportOnly
          ? [{ rule: "reportOnly: denials are counted, and nothing is closed", setting: "reportOnly" }]
          : []),
        ...rules.map(({ line, text }) => ({ line, rule: text })),
      ];
    },
    empty: "this namespace has no rules: every service may call every other",
  });
}
