/** `posthouse health`: the checks of every service, of one service, or of one instance with their last output. */
import type { Command } from "commander";
import type { CheckView } from "#registry/api";
import { catalogChanges, type InNamespace, instancesOf, NAMESPACE_OPTION } from "../catalog.ts";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

interface Given extends InNamespace {
  readonly service: string | undefined;
  readonly id: string | undefined;
}
interface Row extends Omit<CheckView, "id"> {
  readonly service: string;
  readonly instance: string;
  readonly check: string;
  readonly output?: string | undefined;
}

/** The worst status first, since people look for it. */
const ORDER = ["critical", "warning", "unknown", "passing"];

export function define(command: Command, context: VerbContext): void {
  command.option(...NAMESPACE_OPTION);
  withExamples(command, ["posthouse health", "posthouse health orders orders-1"]);
  defineListing<Row, Given>(command, context, {
    columns: [
      ["SERVICE", ({ service }) => service],
      ["INSTANCE", ({ instance }) => instance],
      ["CHECK", ({ check }) => check],
      ["TYPE", ({ type }) => type],
      ["STATUS", ({ status }) => status],
      ["SINCE", ({ since }) => since],
      ["OUTPUT", ({ output }) => output],
    ],
    given: ([service, id], { namespace }) => ({ namespace: namespace as string, service, id }),
    async rows(client, { namespace, service, id }) {
      if (service !== undefined && id !== undefined) {
        const { checks } = await client.registry.health({ namespace, service, id });
        return worstFirst(checks.map(({ id: check, ...rest }) => ({ service, instance: id, check, ...rest })));
      }
      const instances = await instancesOf(client, namespace, service);
      return worstFirst(
        instances.flatMap(({ service, id: instance, checks }) =>
          checks.map(({ id: check, ...rest }) => ({ service, instance, check, ...rest })),
        ),
      );
    },
    changes: (client, { namespace }, signal) => catalogChanges(client, namespace, signal),
    empty: "no instance has a health check",
  });
}

function worstFirst(rows: Row[]): Row[] {
  return rows.sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status));
}
