/** `posthouse context show`: which control plane commands call, and where that is set. The token itself is never shown. */
import type { Command } from "commander";
import { controlSettings } from "../control-client.ts";
import { contextsPath } from "../contexts.ts";
import { detailText } from "../detail.ts";
import { type GivenOptions, withControl, withExamples } from "../options.ts";
import { formatDocument, formatFor, isDocument, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  withControl(withOutput(command));
  withExamples(command, ["posthouse context show", "posthouse context show --context staging -o json"]);
  command.action(async (options: GivenOptions) => {
    const { values, sources, context } = await controlSettings(options, terminal);
    const shown = {
      context: context ?? null,
      controlUrls: values.controlUrls,
      controlUrlsFrom: sources.controlUrls,
      token: values.token === undefined ? "none" : "set",
      tokenFrom: values.token === undefined ? null : sources.token,
      fingerprint: values.tls?.fingerprint ?? null,
      namespace: values.namespace,
      namespaceFrom: sources.namespace,
      file: contextsPath(terminal) ?? null,
    };
    const format = formatFor(options, terminal);
    if (isDocument(format)) return terminal.out(await formatDocument(format, shown));
    terminal.out(
      detailText([
        ["context", shown.context ?? "none"],
        ["control URLs", `${shown.controlUrls.join(", ")} (${shown.controlUrlsFrom})`],
        ["token", shown.tokenFrom === null ? "none" : `set (${shown.tokenFrom})`],
        ["fingerprint", shown.fingerprint ?? undefined],
        ["namespace", `${shown.namespace} (${shown.namespaceFrom})`],
        ["file", shown.file ?? undefined],
      ]),
    );
  });
}
