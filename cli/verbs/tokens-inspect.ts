/** `posthouse tokens inspect [ID]`: one token without its secret; without an id the token that this command uses. */
import type { Command } from "commander";
import { controlSettings } from "../control-client.ts";
import { controlAction } from "../control-verb.ts";
import { detailText } from "../detail.ts";
import { CliErrors } from "../errors.ts";
import { withExamples } from "../options.ts";
import { formatDocument, formatFor, isDocument, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(command);
  withExamples(command, ["posthouse tokens inspect", "posthouse tokens inspect 0123456789abcdef -o json"]);
  controlAction(command, context, async ({ client, args: [given], options, terminal }) => {
    const { values, sources, context: name } = await controlSettings(options, terminal);
    const id = given ?? tokenId(values.token ?? "");
    const { tokens } = await client.access.tokens();
    const token = tokens.find((one) => one.id === id);
    if (!token) throw CliErrors.NOT_FOUND(`No token has the id "${id}".`);
    const format = formatFor(options, terminal);
    if (isDocument(format)) return terminal.out(await formatDocument(format, token));
    const { apps, services, namespaces, createdAt, expiresAt = "never" } = token;
    const from = given === undefined ? `${sources.token}${sources.token === "context" ? ` ${name}` : ""}` : undefined;
    terminal.out(
      detailText([
        ["id", token.id],
        ["name", token.name],
        ["policies", token.policies.join(", ")],
        ["apps", apps?.join(", ")],
        ["services", services?.join(", ")],
        ["namespaces", namespaces?.join(", ")],
        ["created", createdAt],
        ["expires", expiresAt],
        ["set by", from],
      ]),
    );
  });
}

/** A token is `ph_ID_SECRET`. */
function tokenId(token: string): string {
  const [, id] = /^ph_([0-9a-f]+)_/.exec(token) ?? [];
  if (id !== undefined) return id;
  throw CliErrors.ARGUMENT_INVALID(
    "The token of this command has no id. Give the id of a token: posthouse tokens inspect ID.",
  );
}
