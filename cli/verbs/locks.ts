/** `posthouse locks`. */
import type { Command } from "commander";
import type { LockSummary } from "#locks/api";
import type { InNamespace } from "../catalog.ts";
import { defineListing } from "../listing.ts";
import { withNamespace } from "../namespace.ts";
import type { VerbContext } from "../verb.ts";

interface Given extends InNamespace {
  readonly prefix: string | undefined;
}

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the locks").option("--prefix <text>", "only locks whose names begin with this");
  defineListing<LockSummary, Given>(command, context, {
    columns: [
      ["LOCK", ({ name }) => name],
      ["HOLDER", ({ holder }) => holder && (holder.value ?? holder.session)],
      ["TOKEN", ({ holder }) => holder?.token],
      ["SINCE", ({ holder }) => holder?.since],
      ["WAITING", ({ waiting }) => waiting],
      ["DELAYED UNTIL", ({ delayedUntil }) => delayedUntil],
    ],
    given: (_args, { namespace, prefix }) => ({
      namespace: namespace as string,
      prefix: prefix as string | undefined,
    }),
    async rows(client, { namespace, prefix }) {
      const found: LockSummary[] = [];
      let after: string | undefined;
      do {
        const page = await client.locks.list({
          namespace,
          ...(prefix === undefined ? {} : { prefix }),
          ...(after === undefined ? {} : { after }),
        });
        found.push(...page.locks);
        after = page.next;
      } while (after !== undefined);
      return found;
    },
    empty: "no lock is held, waited for or delayed",
  });
}
