/** `posthouse services`. */
import type { Command } from "commander";
import type { ServiceSummary } from "#registry/api";
import { catalogChanges, type InNamespace } from "../catalog.ts";
import { defineListing } from "../listing.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the services");
  withExamples(command, ["posthouse services --watch", "posthouse services -o json"]);
  defineListing<ServiceSummary, InNamespace>(command, context, {
    columns: [
      ["SERVICE", ({ service }) => service],
      ["INSTANCES", ({ instances }) => instances],
      ["PASSING", ({ passing }) => passing],
      ["WARNING", ({ warning }) => warning],
      ["CRITICAL", ({ critical }) => critical],
      ["UNKNOWN", ({ unknown }) => unknown],
      ["DRAINING", ({ draining }) => draining],
    ],
    given: (_args, { namespace }) => ({ namespace: namespace as string }),
    rows: async (client, { namespace }) => (await client.registry.services(namespace)).services,
    changes: (client, { namespace }, signal) => catalogChanges(client, namespace, signal),
    empty: "no service is registered in this namespace",
  });
}
