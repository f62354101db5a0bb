/** `posthouse acl test ACTION`: whether this token, another one, a person or policies may do an action, and which rule decides. */
import type { Command } from "commander";
import { own } from "#base";
import type { AclCheck, AclCheckQuery } from "#access/api";
import { controlAction } from "../control-verb.ts";
import { detailText } from "../detail.ts";
import { EXIT } from "../exit-codes.ts";
import { givenOnly, withExamples } from "../options.ts";
import { limitsText, ruleText } from "../policy-text.ts";
import { formatDocument, formatFor, isParsedFormat, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

const FIELDS = ["namespace", "service", "app", "profile", "key", "lock", "route", "bus"] as const;

export function define(command: Command, context: VerbContext): void {
  withOutput(command);
  for (const field of FIELDS) command.option(`--${field} <name>`, `${field} of the resource; absent: every one`);
  command
    .option("--of <id>", "ask about the token with this id")
    .option("--policy <policies...>", "ask about a set of policies")
    .option("--user <name>", "ask about a person, as bindings name it")
    .option("--group <groups...>", "groups of the person")
    .option("--exit-code", "exit with 1 when it is not allowed");
  withExamples(command, [
    "posthouse acl test config:publish --app orders",
    "posthouse acl test registry:write --service orders --of 0123456789abcdef",
    "posthouse acl test config:reveal --namespace prod --user ann --group developers",
  ]);
  controlAction(command, context, async ({ client, args: [action = ""], options, terminal }) => {
    const text = (name: string) => own(options, name) as string | undefined;
    const listed = (name: string) => (own(options, name) as string[] | undefined)?.join(",");
    const resource = Object.fromEntries(FIELDS.map((field) => [field, text(field)]));
    const subject = { token: text("of"), policies: listed("policy"), user: text("user"), groups: listed("group") };
    const query: AclCheckQuery = { action, ...givenOnly({ ...resource, ...subject }) };
    const answer = await client.access.aclCheck(query);
    const format = formatFor(options, terminal);
    terminal.out(isParsedFormat(format) ? await formatDocument(format, answer) : answerText(answer));
    if (options["exitCode"] === true && !answer.allowed) context.exit(EXIT.failed);
  });
}

function answerText({
  allowed,
  subject,
  action,
  resource,
  policies,
  limits = {},
  rule,
  limit,
  missing,
  why,
}: AclCheck) {
  const named = Object.entries(resource).map(([field, name]) => `${field} ${name}`);
  return detailText([
    ["allowed", allowed ? "yes" : "no"],
    ["subject", subject],
    ["action", action],
    ["resource", named.join(", ") || "everything"],
    ["policies", policies.join(", ") || "none"],
    ["limits", limitsText(limits)],
    ["decided by", decider(rule, limit)],
    ["missing rule", missing && `${missing.effect} ${ruleText(missing)}`],
    ["why", why],
  ]);
}

function decider(rule: AclCheck["rule"], limit: AclCheck["limit"]): string {
  if (limit !== undefined) return `the limit of ${limit}`;
  return rule === undefined ? "no rule allows it" : `rule ${rule.index} of the policy ${rule.policy} (${rule.effect})`;
}
