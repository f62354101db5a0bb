/** The guide of the command line: its commands print what it shows. The blocks of cli.md that sign in are read here. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { guideBlocks, projectRoot, startPosthouse, tempFolder } from "#test/kit";
import { followGuide } from "../kit/guide.ts";
import { run } from "./kit.ts";

test("the commands of cli.md print what it shows", { timeout: 180_000 }, async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({
    data: join(data.path, "data"),
    args: ["--roles", "registry", "config-server"],
  });
  expect(await followGuide("cli.md", { posthouse, data: data.path })).toBe(1);
});

test.each(["cli.md", "config.md"])("every command that %s only shows exists, with its options", async (guide) => {
  const text = await readFile(join(projectRoot, "docs/guides", guide), "utf8");
  const lines = guideBlocks(text)
    .filter(({ language, marker }) => language === "text" && marker === undefined)
    .flatMap(({ text }) => text.split("\n"))
    .flatMap((line) => /(?:^|\()posthouse ([a-z -]+?)(?= -| [A-Z~>]| \w+\/|\)| {2}|$)/.exec(line)?.[1] ?? []);
  expect(lines.length).toBeGreaterThan(3);
  for (const words of lines) {
    const [first = "", second = ""] = words.split(" ");
    const path = ["login", "completion"].includes(first) ? [first] : [first, second];
    expect((await run(["help", ...path])).code, words).toBe(0);
  }
});
