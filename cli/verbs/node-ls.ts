/** `posthouse node ls`: lists the agents and gateways that joined. */
import type { Command } from "commander";
import type { NodeView } from "#identity/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import { minuteText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse node", "posthouse node rm agent web-1"]);
  defineListing<NodeView, undefined>(command, context, {
    columns: [
      ["KIND", ({ kind }) => kind],
      ["NAME", ({ name }) => name],
      ["SERVICES", ({ services }) => services?.join(", ")],
      ["APPS", ({ apps }) => apps?.join(", ")],
      ["JOINED", ({ joinedAt }) => minuteText(joinedAt)],
      ["CERTIFICATE UNTIL", ({ expiresAt }) => minuteText(expiresAt) ?? "expired"],
    ],
    given: () => undefined,
    rows: async (client) => (await client.identity.nodes()).nodes,
    empty: "no node has joined; create a token with: posthouse join-token create",
  });
}
