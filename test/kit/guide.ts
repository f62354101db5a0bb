/**
 * A guide as its reader uses it: each block of commands is pasted whole into one shell, and prints what the guide
 * shows below it.
 *
 * A marker before a block says what a reader does with it:
 * - `<!-- run -->` pastes it once; `<!-- ask -->` pastes it again until it prints what the guide shows
 * - `<!-- file: NAME -->` saves it as NAME in the current folder
 * - `<!-- start -->` starts the process that the guide needs, which the test does instead
 * - `<!-- show -->` only reads it; another test must check it
 *
 * A `json`, `text` or `zone` block that follows commands is what they print.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { projectRoot, type Posthouse } from "./process.ts";
import { openShell, posthouseOnPath } from "./shell.ts";
import { EVENTUALLY_MS_MAX, tempFolder } from "./temp.ts";

export interface GuideBlock {
  readonly language: string;
  readonly text: string;
  /** Such as `run` or `file: flags.yaml`; undefined where no marker precedes the block. */
  readonly marker: string | undefined;
  /** Number of the line of the file at which it begins, from 1. */
  readonly line: number;
  /** The text between the end of the previous block and this block, without its marker. */
  readonly before: string;
}

/** The fenced blocks of a Markdown text, in order. */
export function guideBlocks(markdown: string): GuideBlock[] {
  const blocks: GuideBlock[] = [];
  let end = 0;
  for (const match of markdown.matchAll(/(?:^<!-- (.*?) -->\n)?^```([\w.-]*)\n([^]*?)^```$/gm)) {
    const [whole, marker, language = "", text = ""] = match;
    blocks.push({
      language,
      text,
      marker,
      line: markdown.slice(0, match.index).split("\n").length,
      before: markdown.slice(end, match.index),
    });
    end = match.index + whole.length;
  }
  return blocks;
}

export interface GuideStep {
  readonly commands: string;
  readonly again: boolean;
  readonly line: number;
  readonly printed: { readonly language: string; readonly text: string } | undefined;
}

/** The output of a block, when the next block directly follows it and is not to be run. */
function printedBelow(next: GuideBlock | undefined): GuideStep["printed"] {
  const isOutput = next && next.marker === undefined && ["json", "text", "zone"].includes(next.language);
  return isOutput && next.before.trim() === "" ? { language: next.language, text: next.text } : undefined;
}

export function guideSteps(blocks: readonly GuideBlock[]): GuideStep[] {
  return blocks.flatMap((block, index) =>
    block.language === "sh" && (block.marker === "run" || block.marker === "ask")
      ? [
          {
            commands: block.text,
            again: block.marker === "ask",
            line: block.line,
            printed: printedBelow(blocks[index + 1]),
          },
        ]
      : [],
  );
}

/** JSON values that follow each other, with or without white space between them. */
export function jsonValues(text: string): unknown[] {
  const values: unknown[] = [];
  let begin = 0;
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (inString) {
      if (char === "\\") at++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "{" || char === "[") depth++;
    else if ((char === "}" || char === "]") && --depth === 0) {
      values.push(JSON.parse(text.slice(begin, at + 1)));
      begin = at + 1;
    }
  }
  if (text.slice(begin).trim() !== "") throw new Error(`not JSON: ${text.slice(begin)}`);
  return values;
}

/** Records of `dig`: columns by one space, in any order, whatever the serial. */
function zoneRecords(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith(";"))
    .map((line) =>
      line
        .trim()
        .replaceAll(/\s+/g, " ")
        .replace(/(hostmaster\.posthouse\.) \d+/, "$1 SERIAL"),
    )
    .sort();
}

/** Values that differ from run to run are written as `…` in a guide. */
function withoutElided(actual: unknown, expected: unknown): unknown {
  if (expected === "…") return "…";
  if (Array.isArray(actual) && Array.isArray(expected))
    return actual.map((value, index) => withoutElided(value, expected[index]));
  if (typeof actual !== "object" || actual === null || typeof expected !== "object" || expected === null) return actual;
  const shown = new Map(Object.entries(expected));
  return Object.fromEntries(Object.entries(actual).map(([key, value]) => [key, withoutElided(value, shown.get(key))]));
}

export function expectPrinted(output: string, { language, text }: NonNullable<GuideStep["printed"]>, at: string): void {
  if (language === "json") {
    const expected = jsonValues(text);
    expect(withoutElided(jsonValues(output), expected), at).toMatchObject(expected);
  } else if (language === "zone") expect(zoneRecords(output), at).toEqual(zoneRecords(text));
  else expect(output.trimEnd(), at).toBe(text.trimEnd());
}

/** Only what differs from machine to machine is replaced: ports, the data folder and the token. */
export function asHere(text: string, posthouse: Posthouse, data: string): string {
  const ports: Record<string, string> = {
    "8500": new URL(posthouse.api).port,
    "8080": posthouse.gateway ? new URL(posthouse.gateway).port : "8080",
    "8443": posthouse.gatewayTls ? new URL(posthouse.gatewayTls).port : "8443",
    "8501": posthouse.agent ? new URL(posthouse.agent).port : "8501",
    "8600": posthouse.dns ? (posthouse.dns.split(":")[1] as string) : "8600",
  };
  return text
    .replaceAll(/\b(8500|8501|8080|8443|8600)\b/g, (port) => ports[port] ?? port)
    .replaceAll("./data/", `${data}/`)
    .replaceAll(/TOKEN=ph_…/g, `TOKEN=${posthouse.token}`);
}

/** How commands find a process that listens on other ports than the usual ones. */
function clientSettings({ api, agent, agentToken = "" }: Posthouse): Record<string, string> {
  return {
    POSTHOUSE_CONTROL_URLS: api,
    ...(agent ? { POSTHOUSE_AGENT_PORT: new URL(agent).port, POSTHOUSE_AGENT_TOKEN: agentToken } : {}),
  };
}

/**
 * Follows a guide from its first line to its last, in a folder of its own: saves its files, pastes its commands, and
 * compares what they print. Returns how many blocks were run.
 */
export async function followGuide(name: string, process?: { posthouse: Posthouse; data: string }): Promise<number> {
  await using folder = await tempFolder();
  const blocks = guideBlocks(await readFile(join(projectRoot, "docs/guides", name), "utf8"));
  for (const { marker, text } of blocks) {
    const file = /^file: (\S+)$/.exec(marker ?? "")?.[1];
    if (file !== undefined) await writeFile(join(folder.path, file), text);
  }
  await using shell = openShell({
    cwd: folder.path,
    environment: {
      PATH: await posthouseOnPath(folder.path),
      ...(process ? clientSettings(process.posthouse) : {}),
    },
  });
  // A variable that the guide does not define ends the block.
  await shell.paste("set -u");
  const steps = guideSteps(blocks);
  for (const { commands, again, line, printed } of steps) {
    const at = `docs/guides/${name}:${line}`;
    const once = async () => {
      const { output, code } = await shell.paste(
        process ? asHere(commands, process.posthouse, process.data) : commands,
      );
      if (printed) expectPrinted(output, printed, at);
      else expect({ at, code, errors: code === 0 ? "" : shell.errors() }).toEqual({ at, code: 0, errors: "" });
    };
    if (!again) await once();
    else
      await expect
        .poll(() => once().then(() => "as printed"), { timeout: EVENTUALLY_MS_MAX, interval: 50 })
        .toBe("as printed");
  }
  return steps.length;
}
