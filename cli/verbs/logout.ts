/** `posthouse logout`: ends the token that a login made, and forgets it. */
import type { Command } from "commander";
import { AppError } from "#base";
import { chosenContext, readContexts, tokenOf, writeContexts } from "../contexts.ts";
import { controlSettings, withControlCalls } from "../control-client.ts";
import { CliErrors } from "../errors.ts";
import { type GivenOptions, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

/** Codes that say that the token is already of no use. */
const OVER: ReadonlySet<string> = new Set(["HTTP_TOKEN_INVALID", "HTTP_TOKEN_EXPIRED"]);

export function define(command: Command, { terminal }: VerbContext): void {
  command.option("--context <name>", "context whose token to end (default: the current one)");
  withExamples(command, ["posthouse logout", "posthouse logout --context staging"]);
  command.action(async (options: GivenOptions) => {
    const context = await chosenContext(terminal, options["context"] as string | undefined);
    const token = context && (await tokenOf(context.entry));
    if (!context || token === undefined) {
      throw CliErrors.TOKEN_MISSING(
        "The context has no token, so nothing can be ended. posthouse context ls lists contexts.",
      );
    }
    const { name, entry } = context;
    const { values } = await controlSettings({ context: name }, terminal);
    const isEnded = await withControlCalls({ values: { ...values, token } }, async (client) => {
      try {
        await client.deviceLogins.end();
        return true;
      } catch (error) {
        const code = error instanceof AppError ? error.code : "";
        if (OVER.has(code)) return true;
        if (code === "DEVICE_NOT_A_LOGIN") return false;
        throw error;
      }
    });
    const file = await readContexts(terminal);
    const { token: _token, tokenFile: _tokenFile, ...rest } = entry;
    await writeContexts(terminal, { ...file, contexts: { ...file.contexts, [name]: rest } });
    terminal.out(`context ${name} has no token any more\n`);
    if (!isEnded) {
      terminal.err("the token was issued by an operator and stays valid: posthouse token revoke ID ends it\n");
    }
  });
}
