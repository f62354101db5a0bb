/** `posthouse services policy set SERVICE [FILE]`: replaces the policy of a service. */
import type { Command } from "commander";
import { messageOf } from "#base";
import type { ServicePolicy } from "#registry/api";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { readInput } from "../input.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the service");
  withExamples(command, [
    "posthouse services policy set orders policy.yaml",
    "echo 'minHealthyPercent: 50' | posthouse services policy set orders",
  ]);
  controlAction(command, context, async ({ client, args: [service = "", file], options, terminal }) => {
    const policy = await parsePolicy(await readInput(terminal, file));
    await client.registry.setPolicy({ namespace: String(options["namespace"]), service }, policy);
    terminal.out(`the policy of ${service} is set\n`);
  });
}

/** YAML, or JSON, which is YAML, too. The server checks its fields. @throws CLI_RESOURCE_INVALID */
async function parsePolicy(bytes: Uint8Array): Promise<ServicePolicy> {
  const { parse } = await import("yaml");
  let policy: unknown;
  try {
    policy = parse(Buffer.from(bytes).toString("utf8"), { maxAliasCount: 0 });
  } catch (cause) {
    throw CliErrors.RESOURCE_INVALID(`The policy is not valid YAML or JSON: ${messageOf(cause)}`, { cause });
  }
  if (typeof policy === "object" && policy !== null && !Array.isArray(policy)) return policy;
  throw CliErrors.RESOURCE_INVALID("A policy must have fields, such as minHealthyPercent: 50.");
}
