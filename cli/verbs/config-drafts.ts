/** `posthouse config drafts ls SET`: who drafts which change of a set. */
import type { Command } from "commander";
import type { Draft, SetName } from "#config-server/api";
import { defineListing } from "../listing.ts";
import { givenOnly, withExamples } from "../options.ts";
import { parseSetName, withNamespaceOfSet } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

interface Given {
  readonly set: SetName;
  readonly author: string | undefined;
}

export function define(command: Command, context: VerbContext): void {
  withNamespaceOfSet(command).option("--author <name>", "only drafts of this author");
  withExamples(command, [
    "posthouse config drafts ls orders/prod",
    "posthouse config diff orders/prod --to drafts        what your drafts change",
  ]);
  defineListing<Draft, Given>(command, context, {
    columns: [
      ["KEY", ({ key }) => key],
      ["AUTHOR", ({ author }) => author],
      ["CHANGE", ({ item }) => (item === null ? "remove" : "set")],
      ["FROM", ({ baseVersion }) => baseVersion],
      ["UPDATED", ({ updatedAt }) => updatedAt],
    ],
    given: ([set = ""], { namespace, author }, home) => ({
      set: parseSetName(set, namespace as string | undefined, home),
      author: author as string | undefined,
    }),
    rows: async (client, { set, author }) => (await client.config.drafts(set, givenOnly({ author }))).drafts,
    empty: "this set has no draft; begin one with: posthouse config drafts set SET KEY FILE",
  });
}
