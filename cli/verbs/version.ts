/** `posthouse version`. */
import type { Command } from "commander";
import { VERSION } from "#server/version";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  command.option("-o, --output <format>", "json: also the versions of Node and of this platform");
  command.action(({ output }: { output?: string }) => {
    const { version: node, platform, arch } = process;
    terminal.out(
      output === "json" ? `${JSON.stringify({ version: VERSION, node, platform, arch })}\n` : `${VERSION}\n`,
    );
  });
}
