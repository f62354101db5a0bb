/** `posthouse __complete KIND [WORDS]`: live names, one per line. A shell waits for it, so it is bounded in time and never fails. */
import type { Command } from "commander";
import { own } from "#base";
import { readContexts } from "../contexts.ts";
import { controlSettings, withControlCalls } from "../control-client.ts";
import { LIVE_NAMES } from "../live-names.ts";
import type { VerbContext } from "../verb.ts";

/** Milliseconds that a person waits for Tab, and the most names that a shell shows. */
const ANSWER_MS_MAX = 1_000;
const NAMES_MAX = 500;

export function define(command: Command, { terminal }: VerbContext): void {
  command.action(async (kind: string, words: string[]) => {
    const late = AbortSignal.timeout(ANSWER_MS_MAX);
    const names = await Promise.race([
      namesOf(kind, words, late),
      new Promise<readonly string[]>((resolve) => late.addEventListener("abort", () => resolve([]), { once: true })),
    ]).catch(() => []);
    // Names that a shell would split or expand are left out.
    const plain = names.filter((name) => /^[\w@.:/+-]+$/.test(name)).slice(0, NAMES_MAX);
    terminal.out(plain.map((name) => `${name}\n`).join(""));
  });

  async function namesOf(kind: string, words: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    if (kind === "contexts") return Object.keys((await readContexts(terminal)).contexts);
    const names = own(LIVE_NAMES, kind);
    if (!names) return [];
    const settings = await controlSettings({}, terminal);
    const { namespace } = settings.values;
    return withControlCalls(settings, (client) => names({ client, namespace, words, signal }));
  }
}
