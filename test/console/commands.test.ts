/** Every command line that the console shows is one that `posthouse` accepts: verbs, arguments and options, without a server. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { describe, expect, test } from "vitest";
import { projectRoot } from "#test/kit";
import type { Terminal } from "../../cli/terminal.ts";
import { VERBS } from "../../cli/verbs.ts";
import { questionFrom, resourceWords, subjectWords } from "../../console/pages/access/check-core.ts";
import { createWords, limitWords } from "../../console/pages/access/core.ts";
import { rolloutWords } from "../../console/pages/config/core/rollout-plan.ts";
import { cliOf, shellWord } from "../../console/data/commands.ts";
import { testWords } from "../../console/pages/routes/core/test-request.ts";
import { type Samples, shellWords, shownCommands } from "./commands-kit.ts";

const FORM = { method: "GET", url: "/orders", headers: "X-A: b", peer: "192.0.2.1", listener: "edge", zone: "eu" };

const QUESTIONS = [
  questionFrom({ action: "locks:read" }),
  questionFrom({ who: "token", token: "0123456789abcdef", action: "config:read", namespace: "n", app: "a", key: "k" }),
  questionFrom({ who: "policies", policies: "viewer, editor", action: "registry:read", service: "s" }),
  questionFrom({ who: "person", user: "ann", groups: "devs, ops", action: "gateway:read", route: "r" }),
];
const LIMITS = [[], [...limitWords({ namespaces: ["n"], apps: ["a", "b"], services: ["s"] })]];

const ROLLOUTS = [
  rolloutWords({
    stages: [{ instances: ["web-1", "web-2"] }, { labels: { zone: "eu" } }, { percent: 10 }],
    everybody: { holdSeconds: 60 },
    onFailure: "pause",
  }),
  rolloutWords({ stages: [{ percent: 50 }] }),
];

/** Words that pages compute: by the functions themselves, each once with everything and once with nothing. */
const SAMPLES: Samples = {
  calls: {
    namespaceWords: [["--namespace", "shop"]],
    rolloutWords: ROLLOUTS,
    "console/pages/config/release/release-dialog.tsx rollout": ROLLOUTS,
    createWords: [
      [...createWords({ name: "ci", policies: ["editor"] })],
      [
        ...createWords({
          name: "h",
          policies: ["agent"],
          ttlSeconds: 60,
          apps: ["a", "b"],
          services: ["s"],
          namespaces: ["n"],
        }),
      ],
    ],
    resourceWords: QUESTIONS.map((question) => [...resourceWords(question)]),
    subjectWords: QUESTIONS.map((question) => [...subjectWords(question)]),
    limitWords: LIMITS,
    "console/pages/access/binding-edit.tsx value": [["viewer"], ["viewer", "editor"]],
    testWords: [[...testWords(FORM, { bearer: "", apiKey: "" })], [...testWords(FORM, { bearer: "x", apiKey: "y" })]],
  },
  values: {
    "console/pages/certificates/rotate.tsx which": ["root", "intermediate"],
    "console/pages/access/join-core.ts kind": ["agent", "gateway"],
    "console/pages/config/rollout/steering.tsx action": ["pause", "resume", "promote", "complete", "abort"],
    "console/pages/system/sources.tsx action": ["sync", "detach", "attach"],
    "console/pages/config/review/proposal-decision.tsx decision": ["approve", "reject"],
    "console/pages/config/list/rules-dialog.tsx review": ["optional", "required"],
  },
};

const shown = globSync("console/**/*.{ts,tsx}", { cwd: projectRoot })
  .filter((path) => !path.includes("node_modules"))
  .flatMap((path) => shownCommands(path, readFileSync(join(projectRoot, path), "utf8"), SAMPLES));

const nothing = (): void => {};
const TERMINAL: Terminal = {
  out: nothing,
  err: nothing,
  input: async () => new Uint8Array(),
  environment: {},
  isInteractive: false,
  isErrorInteractive: false,
  isInputInteractive: false,
  stopSignal: () => new AbortController().signal,
};

/** The program as the table of verbs describes it, with actions that do nothing. */
async function parser(): Promise<Command> {
  const root = new Command("posthouse").exitOverride().configureOutput({ writeErr: nothing, writeOut: nothing });
  const byPath = new Map([["", root]]);
  for (const { path, args, aliases = [], isDefault = false, load } of VERBS) {
    const words = path.split(" ");
    const parent = byPath.get(words.slice(0, -1).join(" "));
    const command = parent?.command([words.at(-1), args].filter(Boolean).join(" "), { isDefault });
    if (!command) throw new Error(`"${path}" is before its parent`);
    byPath.set(path, command.aliases(aliases));
    if (load) (await load()).define(command, { terminal: TERMINAL, exit: nothing, allVerbs: async () => root });
    if (load) command.action(nothing);
  }
  return root;
}

/** Why the program rejects a command; undefined when it accepts it. */
async function problemOf(words: readonly string[]): Promise<string | undefined> {
  try {
    await (await parser()).parseAsync([...words], { from: "user" });
    return undefined;
  } catch (error) {
    if (error instanceof CommanderError) return error.message;
    throw error;
  }
}

test("the sources show many commands, with those of a review among them", () => {
  const lines = shown.map(({ words }) => words.join(" "));
  expect(lines.length).toBeGreaterThan(60);
  expect(lines).toContain("config review 1 1 --approve --comment 1");
  expect(lines).toContain("config rollout abort 1");
  expect(lines).toContain("services policy rm 1 --namespace shop");
});

const LINES = [...new Map(shown.map((one) => [one.words.join(" "), one])).values()];
test.each(LINES.map(({ place, words }) => [words.map(shellWord).join(" "), place, words] as const))(
  "posthouse %s",
  async (line, place, words) => {
    expect(await problemOf(words), `${place}: posthouse ${line}`).toBeUndefined();
  },
);

describe("a command that the program does not accept is noticed", () => {
  test.each([
    [["config", "draft", "1"], "unknown command"],
    [["config", "drafts", "rm", "1"], "missing required argument"],
    [["config", "review", "1", "1", "--accept"], "unknown option"],
    [["config", "rules", "set", "--review", "perhaps"], "Allowed choices"],
    [["config", "reveal", "1", "1"], "required option"],
    [["services", "policy", "rm", "1", "2"], "too many arguments"],
  ])("%s", async (words, problem) => expect(await problemOf(words)).toContain(problem));

  test("a helper without samples is reported", () => {
    expect(() => shownCommands("console/x.ts", "cliOf(...newWords())", SAMPLES)).toThrow("newWords");
  });
});

test("words are quoted for a shell, and read back as they were", () => {
  const words = ["config", "reveal", "prod/shop/main", "db.password", "--reason", "incident 7; rm -rf"];
  expect(shellWords(cliOf(...words))).toEqual(words);
});
