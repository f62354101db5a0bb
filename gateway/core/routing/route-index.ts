/**
 * Finds the first route, in the order of core/routing/route-order.ts, that takes a request. By host, then by what is written out of
 * the path: a look-up per exact path and per prefix that the path has, a walk down the templates, and one down what
 * regexes begin with. Five thousand routes cost no more than five, but for regexes that begin with anything.
 */
import { COMMON, mismatchOf, type MatchHead } from "./conditions.ts";
import { compareRanked, type Ranked } from "./route-order.ts";
import { pathMatches } from "../paths/path-pattern.ts";
import type { CompiledRoute } from "./route.ts";

/** A route under one of its hosts. */
export interface Entry extends Ranked {
  /** Place in the order, over all hosts. */
  readonly order: number;
}

interface TemplateNode {
  readonly literals: Map<string, TemplateNode>;
  variable: TemplateNode | undefined;
  /** End here. */
  readonly ends: Entry[];
  /** Take all that is left. */
  readonly rests: Entry[];
}

/** Regexes by what they begin with: what this node's, and those of the nodes above, have in common. */
interface RegexNode {
  /** What comes after the node above. */
  readonly text: string;
  /** Begin with nothing more. */
  readonly entries: Entry[];
  /** By the first character of their texts. */
  readonly below: Map<number, RegexNode>;
}

interface HostBucket {
  /** Of its first entry: nothing here can win against one that comes before. */
  readonly order: number;
  readonly exact: ReadonlyMap<string, readonly Entry[]>;
  readonly prefixes: ReadonlyMap<string, readonly Entry[]>;
  /** Segments of the longest prefix; a longer path is not looked at beyond. */
  readonly depthMax: number;
  readonly templates: TemplateNode | undefined;
  readonly regexes: RegexNode | undefined;
}

export interface RouteIndex {
  /** In order. */
  readonly entries: readonly Entry[];
  readonly byHost: ReadonlyMap<string, HostBucket>;
  /** By suffix with its dot: `.example`. */
  readonly byWildcard: ReadonlyMap<string, HostBucket>;
  readonly anyHost: HostBucket | undefined;
}

export function buildIndex(routes: readonly CompiledRoute[]): RouteIndex {
  const ranked: Ranked[] = routes.flatMap((route) =>
    (route.hosts.length > 0 ? route.hosts : [""]).map((host) => ({ route, host })),
  );
  const entries: Entry[] = ranked.sort(compareRanked).map(({ route, host }, order) => ({ route, host, order }));
  const byHost = Map.groupBy(entries, ({ host }) => host);
  const buckets = [...byHost].map(([host, own]) => [host, bucketOf(own)] as const);
  return {
    entries,
    byHost: new Map(buckets.filter(([host]) => host !== "" && !host.startsWith("*."))),
    byWildcard: new Map(
      buckets.filter(([host]) => host.startsWith("*.")).map(([host, bucket]) => [host.slice(1), bucket]),
    ),
    anyHost: buckets.find(([host]) => host === "")?.[1],
  };
}

function bucketOf(entries: readonly Entry[]): HostBucket {
  const of = (kind: string) => entries.filter(({ route }) => route.path.kind === kind);
  const prefixes = Map.groupBy(of("prefix"), ({ route }) => route.path.value);
  let templates: TemplateNode | undefined;
  for (const entry of of("template")) {
    templates ??= newNode();
    insertTemplate(templates, entry);
  }
  return {
    order: entries[0]?.order ?? Infinity,
    exact: Map.groupBy(of("exact"), ({ route }) => route.path.value),
    prefixes,
    depthMax: Math.max(0, ...[...prefixes.keys()].map((prefix) => prefix.split("/").length - 1)),
    templates,
    regexes: regexTree(of("regex")),
  };
}

/** `entries`: in order, which those of each node are in, too. */
function regexTree(entries: readonly Entry[]): RegexNode | undefined {
  if (entries.length === 0) return undefined;
  const root: RegexNode = { text: "", entries: [], below: new Map() };
  for (const entry of entries) {
    const { path } = entry.route;
    if (path.kind !== "regex") continue;
    let node = root;
    let head = path.head;
    while (head !== "") {
      const first = head.charCodeAt(0);
      const next = node.below.get(first) ?? { text: head, entries: [], below: new Map() };
      let common = 1;
      while (common < Math.min(head.length, next.text.length) && head[common] === next.text[common]) common++;
      // The part that both begin with becomes a node between.
      const shared =
        common === next.text.length
          ? next
          : {
              text: head.slice(0, common),
              entries: [],
              below: new Map([[next.text.charCodeAt(common), { ...next, text: next.text.slice(common) }]]),
            };
      node.below.set(first, shared);
      node = shared;
      head = head.slice(common);
    }
    node.entries.push(entry);
  }
  return root;
}

function newNode(): TemplateNode {
  return { literals: new Map(), variable: undefined, ends: [], rests: [] };
}

function insertTemplate(root: TemplateNode, entry: Entry): void {
  const { path } = entry.route;
  if (path.kind !== "template") return;
  let node = root;
  for (const part of path.parts) {
    if (part.literal === undefined && part.rest) {
      node.rests.push(entry);
      return;
    }
    if (part.literal === undefined) node = node.variable ??= newNode();
    else {
      let next = node.literals.get(part.literal);
      if (!next) node.literals.set(part.literal, (next = newNode()));
      node = next;
    }
  }
  node.ends.push(entry);
}

/** A look for the best entry. */
class Search {
  readonly head: MatchHead;
  best: Entry | undefined;
  /** Methods of the routes that everything but the method fits, and the best of those routes. */
  allow: Set<string> | undefined;
  near: Entry | undefined;

  constructor(head: MatchHead) {
    this.head = head;
  }

  /** `entries`: in order, and their path fits. */
  consider(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (this.best && entry.order >= this.best.order) return;
      const mismatch = mismatchOf(entry.route.conditions, this.head);
      if (mismatch === undefined) {
        this.best = entry;
        return;
      }
      if (mismatch === "method") {
        this.allow ??= new Set();
        if (!this.near || entry.order < this.near.order) this.near = entry;
        for (const method of entry.route.conditions.methods ?? COMMON) this.allow.add(method);
      }
    }
  }

  look(bucket: HostBucket | undefined): void {
    if (!bucket || (this.best && bucket.order >= this.best.order)) return;
    const { path } = this.head;
    const exact = bucket.exact.size > 0 ? bucket.exact.get(path) : undefined;
    if (exact) this.consider(exact);
    if (bucket.templates) this.#walk(bucket.templates, 1);
    if (bucket.regexes) this.#regexes(bucket.regexes, 0);
    if (bucket.prefixes.size > 0) this.#prefixes(bucket);
  }

  #prefixes({ prefixes, depthMax }: HostBucket): void {
    const { path } = this.head;
    const root = prefixes.get("/");
    if (root) this.consider(root);
    let depth = 1;
    for (
      let slash = path.indexOf("/", 1);
      slash > 0 && depth <= depthMax;
      slash = path.indexOf("/", slash + 1), depth++
    ) {
      const found = prefixes.get(path.slice(0, slash));
      if (found) this.consider(found);
    }
    // The whole path is the last of its own prefixes.
    if (depth > depthMax || path.length === 1) return;
    const whole = prefixes.get(path);
    if (whole) this.consider(whole);
  }

  /** The longer heads first, since they come before others more often. `at`: where the text of a node ends. */
  #regexes({ entries, below }: RegexNode, at: number): void {
    const { path } = this.head;
    const next = below.size > 0 ? below.get(path.charCodeAt(at)) : undefined;
    if (next && path.startsWith(next.text, at)) this.#regexes(next, at + next.text.length);
    for (const entry of entries) {
      if (this.best && entry.order >= this.best.order) return;
      if (pathMatches(entry.route.path, path)) this.consider([entry]);
    }
  }

  /** `at`: where the next segment of the path begins. */
  #walk(node: TemplateNode, at: number): void {
    const { path } = this.head;
    if (at > path.length) return this.consider(node.ends);
    if (node.rests.length > 0 && at < path.length) this.consider(node.rests);
    const slash = path.indexOf("/", at);
    const end = slash < 0 ? path.length : slash;
    if (node.literals.size > 0) {
      const literal = node.literals.get(path.slice(at, end));
      if (literal) this.#walk(literal, end + 1);
    }
    if (node.variable && end > at) this.#walk(node.variable, end + 1);
  }
}

export type RouteMatch =
  | { readonly route: CompiledRoute }
  /** Nothing matches. `allow`: the methods of routes that match but for the method; `near`: the first of these. */
  | { readonly route: undefined; readonly allow: readonly string[]; readonly near?: CompiledRoute };

export function findRoute(index: RouteIndex, head: MatchHead): RouteMatch {
  const search = new Search(head);
  search.look(index.byHost.get(head.host));
  if (index.byWildcard.size > 0) {
    const { host } = head;
    for (let dot = host.indexOf("."); dot > 0; dot = host.indexOf(".", dot + 1)) {
      search.look(index.byWildcard.get(host.slice(dot)));
    }
  }
  search.look(index.anyHost);
  if (search.best) return { route: search.best.route };
  const { allow, near } = search;
  return { route: undefined, allow: allow ? [...allow] : [], ...(near ? { near: near.route } : {}) };
}
