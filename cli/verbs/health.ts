/** `posthouse health`: the checks of every service, of one service, or of one instance with their last output. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { ControlCalls } from "#client/light";
import type { CheckView } from "#registry/api";
import { catalogChanges, type InNamespace, instancesOf } from "../catalog.ts";
import { defineListing } from "../listing.ts";
import { CliErrors } from "../errors.ts";
import { withNamespace } from "../namespace.ts";
import { secondsOption, withExamples } from "../options.ts";
import { startProgress } from "../progress.ts";
import type { Terminal } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";

interface Given extends InNamespace {
  readonly service: string | undefined;
  readonly id: string | undefined;
  readonly waitSeconds: number | undefined;
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
  withNamespace(command, "the services").option(
    "--wait <seconds>",
    "wait until there is an instance and all of them are passing",
    secondsOption(86_400),
  );
  withExamples(command, ["posthouse health", "posthouse health orders orders-1", "posthouse health orders --wait 60"]);
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
    given: ([service, id], { namespace, wait }) => ({
      namespace: namespace as string,
      service,
      id,
      waitSeconds: wait as number | undefined,
    }),
    before: (client, given) => waitForPassing(client, context.terminal, given),
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

/** Milliseconds between two questions of a wait. */
const ASK_MS = 500;

/** @throws CLI_TIMEOUT with the instances that are not passing */
async function waitForPassing(client: ControlCalls, terminal: Terminal, given: Given): Promise<void> {
  const { namespace, service, id, waitSeconds } = given;
  if (waitSeconds === undefined) return;
  const until = performance.now() + waitSeconds * 1000;
  using progress = startProgress(terminal, `waiting for ${service ?? "every service"}`);
  for (;;) {
    const all = await instancesOf(client, namespace, service);
    const asked = all.filter((one) => id === undefined || one.id === id);
    const unwell = asked.filter(({ status }) => status !== "passing");
    if (asked.length > 0 && unwell.length === 0) return;
    const missing =
      unwell.map((one) => `${one.service}/${one.id} is ${one.status}`).join(", ") || "no instance is registered";
    progress.show(`${asked.length - unwell.length} of ${asked.length} instances pass; ${missing}`);
    if (performance.now() > until) throw CliErrors.TIMEOUT(`Not passing within ${waitSeconds} s: ${missing}.`);
    await sleep(ASK_MS);
  }
}
