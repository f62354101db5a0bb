/** The commands as a manual page (roff) and as the page of the reference (Markdown). Pure. */
import type { CommandOption, CommandPage } from "./command-tree.ts";
import { EXIT } from "./exit-codes.ts";

const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [EXIT.done, "Success."],
  [EXIT.failed, "Failure. Also a difference, with --exit-code."],
  [EXIT.usage, "Wrong use of the command, or wrong settings."],
  [EXIT.notFound, "Not found."],
  [EXIT.auth, "No token, a wrong token, or not allowed."],
  [EXIT.conflict, "Conflict: changed since it was read, or not possible in this state."],
  [EXIT.unreachable, "The control plane does not answer, is not ready, or a wait was too long."],
  [EXIT.interrupted, "Interrupted by Ctrl-C. 143: ended by SIGTERM."],
];
const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  ["POSTHOUSE_CONTROL_URLS", "URLs of the control plane, separated by commas."],
  ["POSTHOUSE_TOKEN", "Token for it."],
  ["POSTHOUSE_CONTEXT", "Context to use in place of the current one."],
  ["POSTHOUSE_NAMESPACE", "Namespace to use in place of that of the context."],
  ["POSTHOUSE_SETTINGS", "Settings file."],
  ["NO_COLOR", "When not empty, output has no color."],
  ["VISUAL, EDITOR", "Editor of config edit."],
  ["XDG_CONFIG_HOME", "Folder of posthouse/contexts.yaml; else $HOME/.config."],
];

/** Options of one command; settings, which many commands share, are listed once where there are many. */
const SETTINGS_SHOWN_MAX = 6;

function ownOptions({ options }: CommandPage): { readonly shown: readonly CommandOption[]; readonly hidden: number } {
  const settings = options.filter(({ isSetting }) => isSetting);
  const others = options.filter(({ isSetting, long }) => !isSetting && long !== "--help");
  return settings.length <= SETTINGS_SHOWN_MAX
    ? { shown: [...others, ...settings], hidden: 0 }
    : { shown: others, hidden: settings.length };
}

function roffText(text: string): string {
  const escaped = text.replaceAll("\\", "\\e").replaceAll("-", "\\-");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

/** posthouse(1). */
export function manualPage(pages: readonly CommandPage[], version: string): string {
  const [root, ...verbs] = pages;
  const lines = [
    `.TH POSTHOUSE 1 "" "posthouse ${version}" "User Commands"`,
    ".SH NAME",
    "posthouse \\- registry, config server, gateway and agent of microservices",
    ".SH SYNOPSIS",
    ".B posthouse",
    "\\fIcommand\\fR [\\fIarguments\\fR] [\\fIoptions\\fR]",
    ".SH DESCRIPTION",
    roffText(root?.description ?? ""),
    ".SH COMMANDS",
  ];
  for (const page of verbs) {
    if (page.verbs.length > 0 && page.args.length === 0) continue;
    lines.push(`.SS ${roffText(page.usage)}`, roffText(page.description));
    const { shown, hidden } = ownOptions(page);
    for (const { flags, description } of shown) lines.push(".TP", `.B ${roffText(flags)}`, roffText(description));
    if (hidden > 0)
      lines.push(".PP", `And ${hidden} settings, which \\fBposthouse ${roffText(page.path)} \\-\\-help\\fR lists.`);
    if (page.examples.length > 0)
      lines.push(".PP", "Examples:", ".PP", ".nf", ...page.examples.map((line) => `    ${roffText(line)}`), ".fi");
  }
  lines.push(".SH EXIT STATUS");
  for (const [code, meaning] of EXIT_CODES) lines.push(".TP", `.B ${code}`, roffText(meaning));
  lines.push(".SH ENVIRONMENT");
  for (const [name, meaning] of ENVIRONMENT) lines.push(".TP", `.B ${name}`, roffText(meaning));
  lines.push(".SH FILES", ".TP", ".I $XDG_CONFIG_HOME/posthouse/contexts.yaml", roffText("Contexts, with mode 0600."));
  return `${lines.join("\n")}\n`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}

/** docs/reference/cli.md. */
export function commandReference(pages: readonly CommandPage[], note: string): string {
  const lines = [
    "# Commands",
    note,
    "",
    "Every command of `posthouse`. [The guide](../guides/cli.md) explains output, contexts and GitOps.",
    "",
    "## Exit codes",
    "",
    "| code | meaning |",
    "| --- | --- |",
    ...EXIT_CODES.map(([code, meaning]) => `| ${code} | ${meaning} |`),
    "",
    "## Environment",
    "",
    "| variable | meaning |",
    "| --- | --- |",
    ...ENVIRONMENT.map(([name, meaning]) => `| \`${name}\` | ${meaning} |`),
  ];
  for (const page of pages.slice(1)) {
    if (page.verbs.length > 0 && page.args.length === 0) continue;
    const aliases = page.spellings.slice(1);
    lines.push("", `## posthouse ${page.path}`, "", `\`${page.usage}\``, "", page.description);
    if (aliases.length > 0) lines.push("", `Also ${aliases.map((way) => `\`${way}\``).join(", ")}.`);
    const { shown, hidden } = ownOptions(page);
    if (shown.length > 0) {
      const rows = shown.map(
        ({ flags, description }) => `| \`${flags.replaceAll("|", "\\|")}\` | ${cell(description)} |`,
      );
      lines.push("", "| option | description |", "| --- | --- |", ...rows);
    }
    if (hidden > 0) lines.push("", `And all [settings](settings.md) that concern it, ${hidden} in number.`);
    if (page.examples.length > 0) lines.push("", "```text", ...page.examples, "```");
  }
  return `${lines.join("\n")}\n`;
}
