/** `posthouse config diff SET [A] [B]`: the differences between two states; by default, the changes of the live release. */
import type { Command } from "commander";
import type { ControlCalls } from "#client/light";
import type { SetName } from "#config-server/api";
import { showDifference } from "../config-report.ts";
import { setAction } from "../config-verb.ts";
import { CliErrors } from "../errors.ts";
import { withExamples } from "../options.ts";
import { parseSetName, setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

/** As with diff(1) and `git diff --exit-code`. */
const EXIT_DIFFERENT = 1;

export function define(command: Command, context: VerbContext): void {
  const { terminal, exit } = context;
  command
    .option("--from <state>", "a version, live, or drafts (default: the release before the live one)")
    .option("--to <state>", "a version, live, or drafts (default: live)")
    .option("--to-namespace <name>", "namespace of the second state")
    .option("--exit-code", `exit with ${EXIT_DIFFERENT} when there are differences`);
  withExamples(command, [
    "posthouse config diff orders                            changes of the live release",
    "posthouse config diff orders 3 5                        between two versions",
    "posthouse config diff orders --from live --to drafts    changes of the drafts",
    "posthouse config diff test/orders/main prod/orders/main between two environments",
    "posthouse config diff orders/prod --from 3 --to 5 --exit-code",
  ]);
  setAction(command, context, async ({ client, set, args, options }) => {
    const { from, to, toNamespace } = statesOf(set, args, options as Given);
    const states = {
      from: from ?? (await defaultFrom(client, set, { to, toNamespace })),
      to: to ?? "live",
      ...(toNamespace === undefined ? {} : { toNamespace }),
    };
    const { differences } = await client.config.diff(set, states);
    for (const difference of differences) showDifference(terminal, difference);
    if (options["exitCode"] === true && differences.length > 0) exit(EXIT_DIFFERENT);
  });
}

type Given = Readonly<Record<"from" | "to" | "toNamespace", string | undefined>>;

/** The two states as arguments: versions or names of states, or the same set in another namespace. */
function statesOf(set: SetName, [a, b]: readonly (string | undefined)[], options: Given): Given {
  if (a === undefined) return options;
  if (options.from !== undefined || options.to !== undefined) {
    throw CliErrors.ARGUMENT_INVALID("Give the two states as arguments or by --from and --to, not both.");
  }
  if (!a.includes("/")) return { ...options, from: a, to: b };
  const other = parseSetName(a, undefined, set.namespace);
  if (b !== undefined || other.app !== set.app || other.profile !== set.profile) {
    throw CliErrors.ARGUMENT_INVALID(
      `"${a}" is not ${set.app}/${set.profile} in another namespace. Use NAMESPACE/${set.app}/${set.profile}, or export both sets and compare the folders.`,
    );
  }
  return { ...options, toNamespace: other.namespace };
}

/** The live state when compared with drafts, another version or another namespace; otherwise the previous release. */
async function defaultFrom(
  client: ControlCalls,
  set: SetName,
  { to, toNamespace }: { to: string | undefined; toNamespace: string | undefined },
): Promise<string> {
  if (toNamespace !== undefined || (to !== undefined && to !== "live")) return "live";
  const { releases } = await client.config.releases(set, { limit: 2 });
  const [, before] = releases;
  if (before) return String(before.version);
  throw CliErrors.ARGUMENT_INVALID(
    `${setText(set)} has ${releases.length === 0 ? "no release" : "only one release"}, so there is nothing to compare it with. Give a state with --from or --to.`,
  );
}
