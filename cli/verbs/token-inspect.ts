/** `posthouse token inspect [ID]`: one token without its secret; without an id the token that this command uses. */
import type { Command } from "commander";
import type { CallerInfo, TokenSummary } from "#access/api";
import { controlSettings } from "../control-client.ts";
import { controlAction } from "../control-verb.ts";
import { detailText } from "../detail.ts";
import { CliErrors } from "../errors.ts";
import { withExamples } from "../options.ts";
import { limitsText, wrapped } from "../policy-text.ts";
import { formatDocument, formatFor, isDocument, withOutput } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(command);
  withExamples(command, ["posthouse token inspect", "posthouse token inspect 0123456789abcdef -o json"]);
  controlAction(command, context, async ({ client, args: [id], options, terminal }) => {
    const format = formatFor(options, terminal);
    if (id === undefined) {
      const caller = await client.access.me();
      if (isDocument(format)) return terminal.out(await formatDocument(format, caller));
      const { sources, context: name } = await controlSettings(options, terminal);
      return terminal.out(
        callerText(terminal, caller, `${sources.token}${sources.token === "context" ? ` ${name}` : ""}`),
      );
    }
    const { tokens } = await client.access.tokens();
    const token = tokens.find((one) => one.id === id);
    if (!token) throw CliErrors.NOT_FOUND(`No token has the id "${id}".`);
    terminal.out(isDocument(format) ? await formatDocument(format, token) : tokenText(token));
  });
}

/** The facts that every caller may know about itself. */
function callerText(terminal: Terminal, caller: CallerInfo, from: string): string {
  const { tokenId, name, policies, limits = {}, expiresAt = "never", rights } = caller;
  const facts = detailText([
    ["id", tokenId],
    ["name", name],
    ["policies", policies.join(", ")],
    ["limits", limitsText(limits)],
    ["expires", expiresAt],
    ["set by", from],
  ]);
  return `${facts}\n${rights.map((text) => `${wrapped(text, 2, terminal)}\n`).join("")}`;
}

function tokenText(token: TokenSummary): string {
  const { lastUsedAt = "never", lastUsedFrom, expiresAt = "never" } = token;
  return detailText([
    ["id", token.id],
    ["name", token.name],
    ["policies", token.policies.join(", ")],
    ["limits", limitsText(token)],
    ["created", token.createdAt],
    ["rotated", token.rotatedAt],
    ["previous secret until", token.previousUntil],
    ["last used", lastUsedFrom === undefined ? lastUsedAt : `${lastUsedAt} from ${lastUsedFrom}`],
    ["expires", expiresAt],
    ["browsers", token.browsers],
  ]);
}
