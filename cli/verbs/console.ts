/** `posthouse console`: prints a link that signs in a browser once, as the caller. Standard output has only the link. */
import { spawn } from "node:child_process";
import type { Command } from "commander";
import { controlSettings } from "../control-client.ts";
import { controlAction } from "../control-verb.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

/** The program of each system that opens an address in the user's browser. */
const OPENERS: Readonly<Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>>> = {
  darwin: ["open"],
  win32: ["rundll32", "url.dll,FileProtocolHandler"],
};
/** Milliseconds after which a program that still runs has opened the browser. */
const OPENED_MS = 2_000;
const OPENER_DEFAULT = ["xdg-open"] as const;

export function define(command: Command, context: VerbContext): void {
  command.option("--open", "also open the link in a browser of this machine");
  withExamples(command, ["posthouse console --open", "posthouse console --control-urls http://127.0.0.1:9500"]);
  controlAction(command, context, async ({ client, options, terminal }) => {
    const { controlUrls } = (await controlSettings(options, terminal)).values;
    const { path, expiresAt } = await client.access.signInLink();
    const link = new URL(path, controlUrls[0]).href;
    terminal.out(`${link}\n`);
    terminal.err(`one use, until ${expiresAt}\n`);
    if (options["open"] !== true) return;
    const [program, ...args] = OPENERS[process.platform] ?? OPENER_DEFAULT;
    if (!(await opens(program, [...args, link], terminal.environment))) {
      terminal.err(`no browser was opened, because ${program} failed or is missing; open the link yourself\n`);
    }
  });
}

/** Whether the program started, and ended well if it ended at all. A browser that it starts goes on after this command. */
function opens(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { env, stdio: "ignore", detached: true });
    child.once("error", () => resolve(false));
    child.once("exit", (code) => resolve(code === 0));
    // Some of these programs are the browser itself and go on for as long as it is open.
    child.once("spawn", () => setTimeout(() => resolve(true), OPENED_MS).unref());
    child.unref();
  });
}
