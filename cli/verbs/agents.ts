/** `posthouse agents`: the owners of registered instances, which are the agents of the hosts. */
import type { Command } from "commander";
import { type InNamespace, instancesOf } from "../catalog.ts";
import { defineListing } from "../listing.ts";
import { withNamespace } from "../namespace.ts";
import type { VerbContext } from "../verb.ts";

interface Row {
  readonly agent: string;
  readonly instances: number;
  readonly passing: number;
  readonly warning: number;
  readonly critical: number;
  readonly unknown: number;
  readonly services: readonly string[];
}

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the services");
  defineListing<Row, InNamespace>(command, context, {
    columns: [
      ["AGENT", ({ agent }) => agent],
      ["INSTANCES", ({ instances }) => instances],
      ["PASSING", ({ passing }) => passing],
      ["WARNING", ({ warning }) => warning],
      ["CRITICAL", ({ critical }) => critical],
      ["UNKNOWN", ({ unknown }) => unknown],
      ["SERVICES", ({ services }) => services.join(",")],
    ],
    given: (_args, { namespace }) => ({ namespace: namespace as string }),
    async rows(client, { namespace }) {
      const owned = Map.groupBy(await instancesOf(client, namespace), ({ owner }) => owner);
      return [...owned].flatMap(([agent, instances]) => {
        if (agent === undefined) return [];
        const count = (status: string) => instances.filter((one) => one.status === status).length;
        const services = [...new Set(instances.map(({ service }) => service))].sort();
        return {
          agent,
          instances: instances.length,
          passing: count("passing"),
          warning: count("warning"),
          critical: count("critical"),
          unknown: count("unknown"),
          services,
        };
      });
    },
    empty: "no agent has registered an instance in this namespace",
  });
}
