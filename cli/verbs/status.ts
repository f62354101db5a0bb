/** `posthouse status`: the control plane at a glance. */
import type { Command } from "commander";
import { AppError } from "#base";
import type { ControlCalls } from "#client/light";
import { controlAction } from "../control-verb.ts";
import { detailText } from "../detail.ts";
import { EXIT } from "../exit-codes.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import { formatDocument, formatFor, isDocument, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(withNamespace(command, "the services and locks"));
  withExamples(command, ["posthouse status", "posthouse status -o json"]);
  controlAction(command, context, async ({ client, options, terminal }) => {
    const status = await statusOf(client, String(options["namespace"]));
    if (status.ready !== "ready") context.exit(EXIT.failed);
    const format = formatFor(options, terminal);
    if (isDocument(format)) return terminal.out(await formatDocument(format, status));
    const { services, config } = status;
    terminal.out(
      detailText([
        ["control plane", `posthouse ${status.version}, ${status.ready}`],
        ["members", status.members],
        ["services", `${services.total}: ${services.passing} passing, ${services.unwell.length} not`],
        ["not passing", services.unwell.join(", ")],
        ["instances", `${services.instances}: ${services.critical} critical, ${services.draining} draining`],
        ["config", `${config.sets} sets, ${config.rollouts.length} rollouts under way`],
        ["rollouts", config.rollouts.join(", ")],
        ["locks", `${status.locks.held} held, ${status.locks.waiting} waiting`],
      ]),
    );
  });
}

async function statusOf(client: ControlCalls, namespace: string) {
  const [card, ready, { members }, { services }, { sets }, { locks }] = await Promise.all([
    client.system.card(),
    readiness(client),
    client.registry.members(),
    client.registry.services(namespace),
    client.config.sets(undefined),
    client.locks.list({ namespace }),
  ]);
  const sum = (count: (one: (typeof services)[number]) => number) =>
    services.reduce((total, one) => total + count(one), 0);
  const unwell = services.filter((one) => one.instances === 0 || one.passing < one.instances);
  return {
    version: card.version,
    ready,
    members: members.length,
    services: {
      total: services.length,
      passing: services.length - unwell.length,
      unwell: unwell.map(({ service }) => service),
      instances: sum(({ instances }) => instances),
      critical: sum(({ critical }) => critical),
      draining: sum(({ draining }) => draining),
    },
    config: {
      sets: sets.length,
      rollouts: sets
        .filter(({ rollout }) => rollout !== undefined)
        .map(({ namespace, app, profile, rollout }) => `${namespace}/${app}/${profile}@${rollout}`),
    },
    locks: {
      held: locks.filter(({ holder }) => holder !== undefined).length,
      waiting: locks.reduce((total, { waiting }) => total + waiting, 0),
    },
  };
}

/** `ready`, or the reasons why it is not. */
async function readiness(client: ControlCalls): Promise<string> {
  try {
    return (await client.system.ready()).status;
  } catch (error) {
    if (error instanceof AppError && error.status === 503 && error.code !== "CLIENT_UNREACHABLE") return error.message;
    throw error;
  }
}
