/** `posthouse instances SERVICE`. */
import type { Command } from "commander";
import type { Instance } from "#registry/api";
import { catalogChanges, type InNamespace, instancesOf } from "../catalog.ts";
import { INSTANCE_COLUMNS } from "../instance-columns.ts";
import { defineListing } from "../listing.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the services");
  withExamples(command, ["posthouse instances orders", "posthouse instances orders --watch"]);
  defineListing<Instance, InNamespace & { service: string }>(command, context, {
    columns: INSTANCE_COLUMNS,
    given: ([service = ""], { namespace }) => ({ namespace: namespace as string, service }),
    rows: (client, { namespace, service }) => instancesOf(client, namespace, service),
    changes: (client, { namespace }, signal) => catalogChanges(client, namespace, signal),
    empty: "the service has no instance now",
  });
}
