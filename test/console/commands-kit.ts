/** The command lines that the console shows, read from its sources: each with sample words in place of the values of a page. */
import { parseAst } from "vitest/node";
import { type AstNode, visit } from "../../scripts/architecture/sources.ts";

export interface ShownCommand {
  readonly place: string;
  readonly words: readonly string[];
}

/** A word of a page that a verb takes as its value: as a number, a share, a name and a part of a path it is valid. */
const SAMPLE = "1";

export interface Samples {
  /** Lists of words by the function that returns them, or by file and variable: the ways that they may be. */
  readonly calls: Readonly<Record<string, readonly (readonly string[])[]>>;
  /** Words that a variable may have where not every word fits, by file and name. */
  readonly values: Readonly<Record<string, readonly string[]>>;
}

/** Every call of `cliOf`, once per way through its conditions; and every literal command of a constant or of an attribute. */
export function shownCommands(path: string, text: string, samples: Samples): ShownCommand[] {
  const program = parseAst(text, { lang: path.endsWith(".tsx") ? "tsx" : "ts" }) as unknown as AstNode;
  const found: ShownCommand[] = [];
  const reader = new WordReader({ path, text, program, samples });
  visit(program, (node) => {
    if (isCall(node, "cliOf")) {
      for (const words of reader.ways(node["arguments"] as AstNode[])) found.push({ place: path, words });
    }
    const value = (node.type === "JSXAttribute" ? node["value"] : node["init"]) as AstNode | null | undefined;
    const shown = value ? literalOf(value) : undefined;
    if (shown !== undefined && /^(?:npx )?posthouse [a-z]/.test(shown)) {
      found.push({ place: path, words: shellWords(shown) });
    }
  });
  return found;
}

/** The words of a literal command, up to a pipe or a redirection. */
export function shellWords(line: string): string[] {
  const [before = ""] = line.replace(/^(?:npx )?posthouse /, "").split(/ [|>] /);
  return [...before.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, one, two, three]) => one ?? two ?? three ?? "");
}

function isCall(node: AstNode, name: string): boolean {
  return node.type === "CallExpression" && nameOf(node["callee"] as AstNode) === name;
}

function nameOf(node: AstNode | undefined): string | undefined {
  return node?.type === "Identifier" ? (node["name"] as string) : undefined;
}

function literalOf(node: AstNode): string | undefined {
  if (node.type === "Literal" && typeof node["value"] === "string") return node["value"];
  const quasis = node.type === "TemplateLiteral" ? (node["quasis"] as AstNode[]) : [];
  const [only, ...others] = quasis.map((part) => (part["value"] as { cooked: string }).cooked);
  return others.length === 0 ? only : undefined;
}

interface Reading {
  readonly path: string;
  readonly text: string;
  readonly program: AstNode;
  readonly samples: Samples;
}

/** Evaluates the arguments of a call as lists of words. */
class WordReader {
  readonly #path: string;
  readonly #text: string;
  readonly #program: AstNode;
  readonly #samples: Samples;
  /** Whether each condition holds, by its text, so that two uses of one condition agree. */
  #holds = new Map<string, boolean>();
  readonly #left: Map<string, boolean>[] = [];

  constructor({ path, text, program, samples }: Reading) {
    this.#path = path;
    this.#text = text;
    this.#program = program;
    this.#samples = samples;
  }

  /** The words of a call under every combination of its conditions. */
  ways(elements: readonly AstNode[]): string[][] {
    const found: string[][] = [];
    this.#left.push(new Map());
    for (let next = this.#left.pop(); next; next = this.#left.pop()) {
      this.#holds = next;
      found.push(...this.#lists(elements));
    }
    return found;
  }

  /** A condition that was not met yet holds now, and does not in a later turn. */
  #decide({ start, end }: AstNode): boolean {
    const text = this.#text.slice(Number(start), Number(end));
    const known = this.#holds.get(text);
    if (known !== undefined) return known;
    this.#left.push(new Map([...this.#holds, [text, false]]));
    this.#holds.set(text, true);
    return true;
  }

  /** The ways to write some elements one after another. */
  #lists(elements: readonly AstNode[]): string[][] {
    return elements.reduce<string[][]>(
      (before, element) => {
        const next =
          element.type === "SpreadElement"
            ? this.#spread(element["argument"] as AstNode)
            : this.#word(element).map((one) => [one]);
        return before.flatMap((words) => next.map((more) => [...words, ...more]));
      },
      [[]],
    );
  }

  #word(node: AstNode): string[] {
    const literal = literalOf(node);
    if (literal !== undefined) return [literal];
    const name = nameOf(node);
    const values = name === undefined ? undefined : this.#samples.values[`${this.#path} ${name}`];
    if (values) return [...values];
    if (node.type !== "TemplateLiteral") return [SAMPLE];
    // A flag whose end a page fills in.
    const [quasi] = (node["quasis"] as AstNode[]).map((part) => (part["value"] as { cooked: string }).cooked);
    const [inner] = node["expressions"] as AstNode[];
    return inner && quasi === "--" ? this.#word(inner).map((word) => `--${word}`) : [SAMPLE];
  }

  #spread(node: AstNode): string[][] {
    if (node.type === "ArrayExpression") return this.#lists(node["elements"] as AstNode[]);
    if (node.type === "ConditionalExpression") {
      return this.#spread(node[this.#decide(node["test"] as AstNode) ? "consequent" : "alternate"] as AstNode);
    }
    if (node.type === "CallExpression") return this.#called(node);
    const name = nameOf(node);
    const ways = this.#samples.calls[`${this.#path} ${name}`];
    if (ways) return ways.map((words) => [...words]);
    const declared = name === undefined ? undefined : this.#initializer(name);
    return declared ? this.#spread(declared) : [[SAMPLE]];
  }

  #called(node: AstNode): string[][] {
    const name = nameOf(node["callee"] as AstNode) ?? "";
    if (name === "optionWords") return [[], ...this.#lists(node["arguments"] as AstNode[])];
    const ways = this.#samples.calls[name];
    if (!ways) throw new Error(`${this.#path}: ${name}() gives words of a command; add samples of them to the test`);
    return ways.map((words) => [...words]);
  }

  /** The value of a constant of this file, such as `const why = reason === "" ? [] : ["--reason", reason]`. */
  #initializer(name: string): AstNode | undefined {
    let found: AstNode | undefined;
    visit(this.#program, (node) => {
      if (node.type !== "VariableDeclarator" || nameOf(node["id"] as AstNode) !== name) return;
      const value = node["init"] as AstNode | undefined;
      if (value?.type === "ConditionalExpression" || value?.type === "ArrayExpression") found = value;
    });
    return found;
  }
}
