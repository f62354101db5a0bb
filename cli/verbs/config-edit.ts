/** `posthouse config edit SET KEY`: opens the live value in $VISUAL or $EDITOR, and releases it if it is still the one that was read. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { own } from "#base";
import { isMasked } from "#config-server/api";
import { REASON, setAction } from "../config-verb.ts";
import { CliErrors } from "../errors.ts";
import { inherited } from "../inherited-environment.ts";
import { itemOf, liveSet, releaseChanged } from "../live-set.ts";
import { givenOnly, withExamples } from "../options.ts";
import { setText } from "../set-name.ts";
import type { Terminal } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";

/** Only the user may read the copy. */
const MODE = 0o600;

export function define(command: Command, context: VerbContext): void {
  command.option(...REASON);
  withExamples(command, ["EDITOR=nano posthouse config edit orders/prod app.yaml --reason 'a larger pool'"]);
  setAction(command, context, async ({ client, set, args: [key = ""], options, terminal }) => {
    const { version, items } = await liveSet(client, set);
    const item = own(items, key);
    if (item && (isMasked(item) || item.format === "binary")) {
      throw CliErrors.ARGUMENT_INVALID(
        `"${key}" is ${item.format === "binary" ? "binary" : "a secret"} and cannot be edited as text. Use posthouse config put.`,
      );
    }
    const folder = await mkdtemp(join(tmpdir(), "posthouse-edit-"));
    const path = join(folder, key);
    let isKept = false;
    try {
      await writeFile(path, item?.value ?? "", { mode: MODE });
      await openEditor(terminal, path);
      const bytes = await readFile(path);
      if (bytes.toString("utf8") === (item?.value ?? "")) return terminal.err("nothing was changed\n");
      isKept = true;
      const { reason } = options as { reason?: string };
      const change = {
        items: { [key]: { ...item, ...(await itemOf(key, bytes)) } },
        cas: version,
        ...givenOnly({ reason }),
      };
      const done = await releaseChanged(client, set, change);
      isKept = false;
      terminal.out(`${setText(set)}@${done.version} is released\n`);
    } finally {
      if (isKept) terminal.err(`your text is kept in ${path}\n`);
      else await rm(folder, { recursive: true, force: true });
    }
  });
}

/** The editor may have arguments, such as `code --wait`, so a shell starts it. @throws CLI_EDITOR_FAILED */
async function openEditor({ environment }: Terminal, path: string): Promise<void> {
  const editor = environment["VISUAL"] || environment["EDITOR"] || "vi";
  const child = spawn("sh", ["-c", `${editor} "$1"`, "sh", path], {
    stdio: "inherit",
    env: inherited(process.env),
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", resolve);
  });
  if (code !== 0)
    throw CliErrors.EDITOR_FAILED(`The editor "${editor}" ended with ${code ?? "a signal"}. Nothing is released.`);
}
