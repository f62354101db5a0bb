/** The examples of docs/guides/sidecar.md: definitions and rules are read, and the verbs exist. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readDefinitions } from "../../agent/definitions.ts";
import { readServiceRules, RuleBook, type ServiceRules } from "#sidecar/rules";
import { guideBlocks, projectRoot, startProgram, tempFolder } from "#test/kit";

const blocks = guideBlocks(await readFile(join(projectRoot, "docs/guides/sidecar.md"), "utf8"));
const textsOf = (marker: string) => blocks.filter((block) => block.marker === marker).map(({ text }) => text);

test("the definitions are accepted as they are", async () => {
  await using folder = await tempFolder();
  const examples = textsOf("definition");
  expect(examples).toHaveLength(2);
  for (const [i, text] of examples.entries()) await writeFile(join(folder.path, `${i}.yaml`), text);
  const { services } = await readDefinitions(folder.path, { node: "host-a", address: "10.0.0.7" });
  const of = (wanted: string) => services.find(({ name: { service } }) => service === wanted)?.sidecar;
  expect(of("stock")?.ingress).toBeDefined();
  expect(of("orders")?.upstreams?.map(({ service }) => service)).toEqual(["stock", "payments"]);
});

test("the rules are valid, and decide as the guide says", () => {
  const [text = ""] = textsOf("rules");
  const read = readServiceRules(text, "default");
  expect(read.problems).toBeUndefined();
  const book = new RuleBook("default", read.rules as ServiceRules);
  const allows = (name: string, to: string, namespace = "default") =>
    book.decide({ kind: "service", namespace, name }, to).allowed;
  expect(allows("orders", "stock")).toBe(true);
  expect(allows("web", "payments")).toBe(false);
  expect(allows("export", "payments", "billing")).toBe(true);
  expect(allows("orders", "payments")).toBe(true);
  // `gateway may call *` is about every service.
  expect(allows("orders", "mail")).toBe(false);
  expect(book.decide({ kind: "gateway", name: "edge" }, "mail").allowed).toBe(true);
});

test("every command is a verb", async () => {
  const lines = textsOf("verbs").flatMap((text) => text.trim().split("\n"));
  expect(lines).toHaveLength(4);
  for (const line of lines) {
    const [, group = "", verb = ""] = line.split(/\s+/);
    await using program = startProgram("bin/posthouse", [group, verb, "--help"]);
    expect((await program.exited).code, line).toBe(0);
    expect(program.output()).toContain(`posthouse ${group} ${verb}`);
  }
});
