/** `posthouse rollouts`: gradual releases under way, or those that one set has had. */
import type { Command } from "commander";
import type { RolloutView, SetName } from "#config-server/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import { parseSetName, setText, withNamespaceOfSet } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

interface Given {
  readonly set: SetName | undefined;
  readonly namespace: string | undefined;
}

export function define(command: Command, context: VerbContext): void {
  withNamespaceOfSet(command);
  withExamples(command, ["posthouse rollouts", "posthouse rollouts orders/prod"]);
  defineListing<RolloutView, Given>(command, context, {
    columns: [
      ["SET", (one) => setText(one)],
      ["VERSION", ({ version }) => version],
      ["FROM", ({ baseVersion }) => baseVersion],
      ["STATE", ({ state }) => state],
      ["STAGE", ({ stage, stages }) => `${stage + 1}/${stages.length}`],
      ["STARTED", ({ startedAt }) => startedAt],
      ["WAITS FOR", ({ waitsFor, because }) => waitsFor ?? because],
    ],
    given: ([set], options, home) => {
      const namespace = options["namespace"] as string | undefined;
      return { namespace, set: set === undefined ? undefined : parseSetName(set, namespace, home) };
    },
    async rows(client, { set, namespace }) {
      if (set) return (await client.config.rollouts(set)).rollouts;
      const { sets } = await client.config.sets(namespace);
      const underWay = sets.filter(({ rollout }) => rollout !== undefined);
      // One that ends between the two questions is under way no longer.
      const found = await Promise.allSettled(underWay.map((name) => client.config.rollout(name)));
      return found.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
    },
    empty: "no gradual release is under way",
  });
}
