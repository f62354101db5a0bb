/** `posthouse config search TEXT`: the live keys and lines that contain a text. */
import type { Command } from "commander";
import type { SearchResult } from "#config-server/api";
import { defineListing } from "../listing.ts";
import { givenOnly, withExamples } from "../options.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

type Hit = SearchResult["hits"][number];
interface Given {
  readonly text: string;
  readonly namespace: string | undefined;
}

export function define(command: Command, context: VerbContext): void {
  command.option("--namespace <name>", "only this namespace");
  withExamples(command, ["posthouse config search db.example", "posthouse config search pool --namespace prod"]);
  defineListing<Hit, Given>(command, context, {
    columns: [
      ["SET", (hit) => setText(hit)],
      ["VERSION", ({ version }) => version],
      ["KEY", ({ key }) => key],
      ["LINE", ({ line }) => line || undefined],
      ["TEXT", ({ text }) => text],
    ],
    given: ([text = ""], { namespace }) => ({ text, namespace: namespace as string | undefined }),
    async rows(client, { text, namespace }) {
      const { hits, more } = await client.config.search(text, givenOnly({ namespace }));
      if (more) context.terminal.err(`these are the first ${hits.length} hits; search for a longer text\n`);
      return hits;
    },
    empty: "no live key or line contains this text",
  });
}
