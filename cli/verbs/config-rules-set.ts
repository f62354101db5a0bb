/** `posthouse config rules set`: changes rules of a namespace. Rules that are not given stay as they are. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Rules } from "#config-server/api";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { withNamespace } from "../namespace.ts";
import { casOption, countOption, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

/** `none` removes a limit. */
type Limit = number | "none";
interface RulesOptions extends Record<string, unknown> {
  readonly namespace: string;
  readonly review?: Rules["review"];
  readonly keys?: Limit;
  readonly valueBytes?: Limit;
  readonly releaseBytes?: Limit;
  readonly cas?: number;
}

const LIMITS = ["keys", "valueBytes", "releaseBytes"] as const;

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the rules")
    .addOption(
      new Option("--review <rule>", "whether a release needs the approval of another author").choices([
        "optional",
        "required",
      ]),
    )
    .option("--keys <count>", "maximum number of keys of a set; none: that of the server", limit)
    .option("--value-bytes <bytes>", "maximum size of a value; none: that of the server", limit)
    .option("--release-bytes <bytes>", "maximum size of a release; none: that of the server", limit)
    .option("--cas <revision>", "only if this is the revision of the rules (config rules get)", casOption);
  withExamples(command, [
    "posthouse config rules set --namespace prod --review required",
    "posthouse config rules set --namespace prod --keys 200 --value-bytes none --cas 42",
  ]);
  controlAction(
    command,
    context,
    async ({ client, options, terminal }) => {
      const given = options as RulesOptions;
      const { rules, revision } = await client.config.rules(given.namespace);
      const set = await client.config.setRules(given.namespace, changed(rules, given), {
        ifRevision: given.cas ?? revision,
      });
      terminal.out(`the rules of ${given.namespace} are set: review ${set.review}\n`);
    },
    (_args, options) => {
      const given = options as RulesOptions;
      if (given.review !== undefined || LIMITS.some((name) => given[name] !== undefined)) return;
      throw CliErrors.ARGUMENT_INVALID("Give a rule: --review, --keys, --value-bytes or --release-bytes.");
    },
  );
}

function changed(before: Rules, given: RulesOptions): Rules {
  const limits = LIMITS.flatMap((name) => {
    const value = given[name] ?? before.limits?.[name];
    return value === undefined || value === "none" ? [] : [[name, value] as const];
  });
  return {
    review: given.review ?? before.review,
    ...(limits.length === 0 ? {} : { limits: Object.fromEntries(limits) }),
  };
}

function limit(text: string): Limit {
  if (text === "none") return text;
  try {
    return countOption(text);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new InvalidArgumentError("It must be a whole number from 1, or none.");
  }
}
