/** `posthouse gateways`: the gateways that follow their config, and the release that each one runs. */
import { own } from "#base";
import type { Command } from "commander";
import { type InNamespace } from "../catalog.ts";
import { defineListing } from "../listing.ts";
import { withNamespace } from "../namespace.ts";
import type { VerbContext } from "../verb.ts";

interface Row {
  readonly gateway: string;
  /** `applied` or `failed`; `silent`: it follows the config and has acknowledged nothing. */
  readonly state: string;
  readonly version?: number | undefined;
  readonly current: boolean;
  readonly connected: boolean;
  readonly at: string;
  readonly error?: string | undefined;
}

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the gateways' config");
  defineListing<Row, InNamespace>(command, context, {
    columns: [
      ["GATEWAY", ({ gateway }) => gateway],
      ["STATE", ({ state }) => state],
      ["VERSION", ({ version }) => version],
      ["CURRENT", ({ current }) => (current ? "yes" : "no")],
      ["CONNECTED", ({ connected }) => (connected ? "yes" : "no")],
      ["SINCE", ({ at }) => at],
      ["ERROR", ({ error }) => error],
    ],
    given: (_args, { namespace }) => ({ namespace: namespace as string }),
    async rows(client, { namespace }) {
      const set = { namespace, app: "gateway", profile: "default" };
      const { subscribers, silent } = await client.config.acknowledgements(set);
      const known = subscribers.map(({ subscriber, outcome, versions, current, present, at, error }): Row => ({
        gateway: subscriber,
        state: outcome,
        version: own(versions, `${namespace}/gateway/default`),
        current,
        connected: present,
        at,
        ...(error === undefined ? {} : { error }),
      }));
      const unheard = silent.map(({ subscriber, since }): Row => ({
        gateway: subscriber,
        state: "silent",
        current: false,
        connected: true,
        at: since,
      }));
      return [...known, ...unheard];
    },
    empty: "no gateway follows the config of this namespace",
  });
}
