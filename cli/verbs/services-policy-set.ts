/** `posthouse services policy set SERVICE [FILE]`: replaces the policy of a service. */
import type { Command } from "commander";
import type { ServicePolicy } from "#registry/api";
import { controlAction } from "../control-verb.ts";
import { readInput } from "../input.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import { parsePolicyDocument } from "../policy-document.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the service");
  withExamples(command, [
    "posthouse services policy set orders policy.yaml",
    "echo 'minHealthyPercent: 50' | posthouse services policy set orders",
  ]);
  controlAction(command, context, async ({ client, args: [service = "", file], options, terminal }) => {
    const policy = await parsePolicyDocument<ServicePolicy>(
      await readInput(terminal, file),
      "fields, such as minHealthyPercent: 50",
    );
    await client.registry.setPolicy({ namespace: String(options["namespace"]), service }, policy);
    terminal.out(`the policy of ${service} is set\n`);
  });
}
