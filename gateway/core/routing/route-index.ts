/**
 * Finds the first route that matches a request, in the order of core/routing/route-order.ts. It looks up the host, then
 * the literal parts of the path: the exact path, each of its prefixes, a tree of templates, and a tree of the literal
 * starts of regexes. Five thousand routes cost as little as five, except regexes without a literal start.
 */
import { costlyInvariant } from "#base";
import { COMMON, mismatchOf, type MatchHead } from "./conditions.ts";
import { compareRanked, type Ranked } from "./route-order.ts";
import { pathMatches } from "../paths/path-pattern.ts";
import type { CompiledRoute } from "./route.ts";

/** A route under one of its hosts. */
export interface RouteEntry extends Ranked {
  /** Position in the order, over all hosts. */
  readonly order: number;
}

interface TemplateNode {
  readonly literals: Map<string, TemplateNode>;
  variable: TemplateNode | undefined;
  /** Routes whose template ends here. */
  readonly ends: RouteEntry[];
  /** Routes whose template matches the rest of the path from here. */
  readonly rests: RouteEntry[];
}

/** Regexes by their literal start, which is the text of this node after the texts of the nodes above it. */
interface RegexNode {
  /** The part of the start after the node above. */
  readonly text: string;
  /** Regexes whose literal start ends here. */
  readonly entries: RouteEntry[];
  /** Longer starts, by the first character of their texts. */
  readonly below: Map<number, RegexNode>;
}

interface HostBucket {
  /** The order of the first entry. A match that comes before it beats every entry of the bucket. */
  readonly order: number;
  readonly exact: ReadonlyMap<string, readonly RouteEntry[]>;
  readonly prefixes: ReadonlyMap<string, readonly RouteEntry[]>;
  /** Number of segments of the longest prefix; further segments of a path are not looked up. */
  readonly depthMax: number;
  readonly templates: TemplateNode | undefined;
  readonly regexes: RegexNode | undefined;
}

export interface RouteIndex {
  /** Sorted by `order`. */
  readonly entries: readonly RouteEntry[];
  readonly byHost: ReadonlyMap<string, HostBucket>;
  /** By suffix, including the dot: `.example`. */
  readonly byWildcard: ReadonlyMap<string, HostBucket>;
  readonly anyHost: HostBucket | undefined;
}

export function buildIndex(routes: readonly CompiledRoute[]): RouteIndex {
  const ranked: Ranked[] = routes.flatMap((route) =>
    (route.hosts.length > 0 ? route.hosts : [""]).map((host) => ({ route, host })),
  );
  const entries: RouteEntry[] = ranked.sort(compareRanked).map(({ route, host }, order) => ({ route, host, order }));
  costlyInvariant(
    () => entries.every((entry, at) => at === 0 || compareRanked(entries[at - 1] as RouteEntry, entry) <= 0),
    "the entries of a route index are sorted",
  );
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

function bucketOf(entries: readonly RouteEntry[]): HostBucket {
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

/** `entries` are sorted, so the entries of each node are, too. */
function regexTree(entries: readonly RouteEntry[]): RegexNode | undefined {
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
      // The common part of both starts becomes a node between them.
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

function insertTemplate(root: TemplateNode, entry: RouteEntry): void {
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

/** One search for the first matching entry. */
class Search {
  readonly head: MatchHead;
  best: RouteEntry | undefined;
  /** Methods of the routes that match except for the method, and the first of these routes. */
  allow: Set<string> | undefined;
  near: RouteEntry | undefined;

  constructor(head: MatchHead) {
    this.head = head;
  }

  /** `entries`: sorted, with a path that matches. */
  consider(entries: readonly RouteEntry[]): void {
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
    // The last prefix is the whole path.
    if (depth > depthMax || path.length === 1) return;
    const whole = prefixes.get(path);
    if (whole) this.consider(whole);
  }

  /** Longer starts first, since they more often come first in the order. `at`: the end of the node's text in the path. */
  #regexes({ entries, below }: RegexNode, at: number): void {
    const { path } = this.head;
    const next = below.size > 0 ? below.get(path.charCodeAt(at)) : undefined;
    if (next && path.startsWith(next.text, at)) this.#regexes(next, at + next.text.length);
    for (const entry of entries) {
      if (this.best && entry.order >= this.best.order) return;
      if (pathMatches(entry.route.path, path)) this.consider([entry]);
    }
  }

  /** `at`: the start of the path's next segment. */
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
  /** No route matches. `allow`: methods of routes that match except for the method; `near`: the first of these routes. */
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
