/** The rules of the namespaces that this host serves. Rules that are not known deny: an outage opens nothing. */
import type { Host } from "#base";
import { NO_RULES, readServiceRules, RuleBook, RULES_KEY } from "./core/service-rules.ts";

/** Where the text of the rules comes from. */
export interface RulesText {
  /**
   * Calls the listener now, if the namespace's config is known, and after each change. Without the key the text is undefined.
   * Returns the function that ends it.
   */
  follow(namespace: string, listener: (text: string | undefined) => void): () => void;
}

export class RulesFeed implements Disposable {
  readonly #host: Host;
  readonly #source: RulesText;
  readonly #books = new Map<string, RuleBook>();
  readonly #ends = new Map<string, () => void>();
  readonly #onChange: (namespace: string) => void;

  constructor(host: Host, source: RulesText, onChange: (namespace: string) => void) {
    this.#host = host;
    this.#source = source;
    this.#onChange = onChange;
  }

  /** The rules of a namespace; undefined while they are not known. */
  book(namespace: string): RuleBook | undefined {
    return this.#books.get(namespace);
  }

  /** Follows these namespaces, and no others. */
  follow(namespaces: ReadonlySet<string>): void {
    for (const [namespace, end] of this.#ends) {
      if (namespaces.has(namespace)) continue;
      end();
      this.#ends.delete(namespace);
      this.#books.delete(namespace);
    }
    for (const namespace of namespaces) {
      if (this.#ends.has(namespace)) continue;
      this.#ends.set(
        namespace,
        this.#source.follow(namespace, (text) => this.#take(namespace, text)),
      );
    }
  }

  /** Rules that are not valid change nothing. A release check rejects them, so they come from a file or an older release. */
  #take(namespace: string, text: string | undefined): void {
    const read = text === undefined ? { rules: NO_RULES } : readServiceRules(text, namespace);
    if (!read.rules) {
      const [problem] = read.problems;
      this.#host.log.error(
        { namespace, key: RULES_KEY, line: problem?.line },
        `the service rules are not valid; the earlier ones stay in force: ${problem?.message}`,
      );
      return;
    }
    this.#books.set(namespace, new RuleBook(namespace, read.rules));
    this.#onChange(namespace);
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends.values()) end();
    this.#ends.clear();
  }
}
