/** Drafts, reviews, merges, rules, plans and searches: the rules alone, without a server. */
import { expect, test } from "vitest";
import { encodeJson } from "#base";
import { LABELS_MAX, MASK, PLAN_LINES_MAX, REVIEWS_MAX, type Item, type Rules } from "#config-server/api";
import {
  approversOf,
  draft,
  draftedItem,
  itemsOf,
  merge,
  requireLimits,
  requireReview,
  review,
  rulesOf,
  shownDraft,
  shownProposal,
  withChanges,
  type StoredProposal,
} from "../../config-server/core/change.ts";
import { diffItems, diffLines } from "../../config-server/core/diff.ts";
import { identityOf, identityText, parseLabels, sharePlaceOf, selects } from "../../config-server/core/identity.ts";
import { ownerOf, requireOwner } from "../../config-server/core/owner.ts";
import { firstOf, inFiles, planSet, reported, shown } from "../../config-server/core/plan.ts";
import { searchIn } from "../../config-server/core/search.ts";
import type { OpenRelease, SealedItem } from "../../config-server/core/sealed.ts";
import { errorOf } from "./errors-kit.ts";

const text = (value: string): Item => ({ format: "text", value });
const SECRET: SealedItem = { format: "text", secret: true, sealed: "v1.x" };
const NAME = { namespace: "default", app: "orders", profile: "prod" };

test("a draft sets a value or removes the key, and never both or neither", () => {
  const drafted = (request: Parameters<typeof draftedItem>[1]) => draftedItem("a.json", request);
  expect(drafted({ value: "1" })).toEqual({ format: "json", value: "1" });
  expect(drafted({ value: "1", format: "text", expand: true, secret: true })).toEqual({
    format: "text",
    value: "1",
    expand: true,
    secret: true,
  });
  expect(drafted({ value: "", secret: false })).toEqual({ format: "json", value: "", secret: false });
  expect(drafted({ remove: true })).toBeNull();
  const refused = (field: string) => ["CONFIG_DRAFT_INVALID", { field }];
  expect(errorOf(() => drafted({}))).toEqual(refused("/value"));
  expect(errorOf(() => drafted({ format: "text" }))).toEqual(refused("/value"));
  expect(errorOf(() => drafted({ remove: true, value: "1" }))).toEqual(refused("/remove"));
  expect(errorOf(() => drafted({ remove: true, format: "text" }))).toEqual(refused("/remove"));
});

test("a draft keeps the version that it was begun on", () => {
  const given = { key: "a", author: "ann", item: null, liveVersion: 3, nowMs: 0 };
  const first = draft(undefined, given);
  expect(first).toEqual({ key: "a", author: "ann", item: null, baseVersion: 3, updatedAt: "1970-01-01T00:00:00.000Z" });
  expect(draft(first, { ...given, item: SECRET, liveVersion: 9, nowMs: 1 })).toMatchObject({
    baseVersion: 3,
    updatedAt: "1970-01-01T00:00:00.001Z",
  });
  expect([shownDraft(first).item, shownDraft({ ...first, item: SECRET }).item]).toEqual([
    null,
    { format: "text", value: MASK, secret: true },
  ]);
});

const PROPOSAL = {
  ...NAME,
  id: "p1",
  author: "ann",
  title: "t",
  createdAt: "",
  baseVersion: 1,
  state: "open",
  reviews: [],
  changes: { a: text("new"), b: null, s: SECRET },
} as unknown as StoredProposal;
const says = (reviewer: string, verdict: "approve" | "reject") => ({ reviewer, verdict, nowMs: 0 });

test("authors cannot review their own proposals; each reviewer's last verdict counts, and a rejection closes the proposal", () => {
  expect(errorOf(() => review(PROPOSAL, says("ann", "approve")))).toMatchObject(["CONFIG_REVIEW_OWN", {}]);
  const once = review(PROPOSAL, says("ben", "approve"));
  expect(once).toMatchObject({ state: "open", reviews: [{ reviewer: "ben", verdict: "approve", comment: "" }] });
  const twice = review(review(once, says("eve", "approve")), { ...says("ben", "approve"), comment: "again" });
  expect(twice.reviews.map(({ reviewer, comment }) => [reviewer, comment])).toEqual([
    ["eve", ""],
    ["ben", "again"],
  ]);
  expect(approversOf(twice)).toEqual(["eve", "ben"]);
  expect(approversOf({ ...twice, author: "eve" })).toEqual(["ben"]);
  const rejected = review(twice, says("eve", "reject"));
  expect([rejected.state, approversOf(rejected)]).toEqual(["rejected", ["ben"]]);
  expect(errorOf(() => review(rejected, says("joe", "approve")))).toEqual([
    "CONFIG_PROPOSAL_CLOSED",
    { state: "rejected" },
  ]);
});

test("a proposal has a limited number of reviews", () => {
  const many = (count: number) => ({
    ...PROPOSAL,
    reviews: Array.from({ length: count }, (_, i) => ({ ...says(`r${i}`, "approve"), comment: "", at: "" })),
  });
  expect(review(many(REVIEWS_MAX - 1), says("last", "approve")).reviews).toHaveLength(REVIEWS_MAX);
  expect(errorOf(() => review(many(REVIEWS_MAX), says("more", "approve")))).toMatchObject(["CONFIG_DRAFTS_FULL", {}]);
  // A reviewer who has one already may change it.
  expect(review(many(REVIEWS_MAX), says("r0", "reject")).state).toBe("rejected");
});

test("changes set keys and remove others; a proposal is shown without its secrets", () => {
  expect(withChanges({ a: text("old"), b: text("gone"), c: text("stays") }, PROPOSAL.changes)).toEqual({
    a: text("new"),
    c: text("stays"),
    s: SECRET,
  });
  expect(Object.keys(itemsOf(PROPOSAL.changes))).toEqual(["a", "s"]);
  expect(shownProposal(PROPOSAL).changes).toEqual({
    a: text("new"),
    b: null,
    s: { format: "text", value: MASK, secret: true },
  });
});

test("a key that others changed since is a conflict, unless they made it what the proposal makes it", () => {
  const base = { a: text("1"), b: text("1"), c: text("1") };
  const changes = { a: text("2"), b: null };
  const merged = (live: Parameters<typeof merge>[2]) => merge({ ...PROPOSAL, changes }, base, live);
  expect(merged(base)).toEqual({ a: text("2"), c: text("1") });
  expect(merged({ ...base, c: text("9"), d: text("9") })).toEqual({ a: text("2"), c: text("9"), d: text("9") });
  expect(merged({ a: text("2"), c: text("1") })).toEqual({ a: text("2"), c: text("1") });
  expect(errorOf(() => merged({ ...base, a: text("3") }))).toEqual(["CONFIG_PROPOSAL_OUTDATED", { keys: ["a"] }]);
  expect(errorOf(() => merged({ a: text("3"), b: text("3") }))).toEqual([
    "CONFIG_PROPOSAL_OUTDATED",
    { keys: ["a", "b"] },
  ]);
});

test("where a review is required only an approval, or an emergency with a reason, does without it", () => {
  const needs = (over: object, rules: Rules = { review: "required" }) =>
    errorOf(() => requireReview(rules, { namespace: "prod", approvedBy: [], emergency: false, reason: "", ...over }));
  expect(needs({})).toMatchObject(["CONFIG_REVIEW_REQUIRED", {}]);
  expect(needs({ reason: "because" })).toMatchObject(["CONFIG_REVIEW_REQUIRED", {}]);
  expect(needs({ emergency: true, reason: "  " })).toEqual(["CONFIG_EMERGENCY_REASON", { field: "/reason" }]);
  expect([needs({ emergency: true, reason: "fire" }), needs({ approvedBy: ["ben"] })]).toEqual([undefined, undefined]);
  expect(needs({}, rulesOf(undefined))).toBeUndefined();
  expect(rulesOf({ value: encodeJson({ review: "required" }), modRevision: 1 })).toEqual({ review: "required" });
});

test("a release keeps the limits of its environment, to the key and to the byte", () => {
  const items = { a: text("12345"), b: text("é") };
  const over = (limits: Rules["limits"], bytes = 100) =>
    errorOf(() => requireLimits({ review: "optional", ...(limits ? { limits } : {}) }, "prod", items, bytes));
  const exceeded = (is: number, limit: number) => ["CONFIG_LIMIT_EXCEEDED", { is, limit }];
  expect([over(undefined), over({ keys: 2, releaseBytes: 100, valueBytes: 5 })]).toEqual([undefined, undefined]);
  expect([over({ keys: 1 }), over({ releaseBytes: 99 }), over({ valueBytes: 4 })]).toEqual([
    exceeded(2, 1),
    exceeded(100, 99),
    exceeded(5, 4),
  ]);
});

test("a set that follows a source is released by it, or in an emergency with a reason", () => {
  const owner = { value: encodeJson({ source: "git" }), modRevision: 1 };
  const refused = (writer: Parameters<typeof requireOwner>[2], entry: typeof owner | undefined = owner) =>
    errorOf(() => requireOwner(entry, NAME, writer));
  expect([ownerOf(owner), ownerOf(undefined)]).toEqual(["git", undefined]);
  expect(refused({ reason: "r" })).toEqual(["CONFIG_SET_OWNED", { source: "git" }]);
  expect(refused({ reason: "r", source: { name: "other" } })).toEqual(["CONFIG_SET_OWNED", { source: "git" }]);
  expect(refused({ reason: " ", emergency: true })).toEqual(["CONFIG_EMERGENCY_REASON", { field: "/reason" }]);
  expect(refused({ reason: "fire", emergency: true })).toBeUndefined();
  expect(refused({ reason: "", source: { name: "git" } })).toBeUndefined();
  expect(errorOf(() => requireOwner(undefined, NAME, { reason: "" }))).toBeUndefined();
});

test("a difference lists keys in order, and of a secret only that it changed", () => {
  const before = { a: text("1"), b: text("1\n2"), gone: text("x"), s: SECRET, t: SECRET, f: text("1") };
  const after = {
    a: text("1"),
    b: text("1\n3"),
    come: text("y"),
    s: SECRET,
    t: SECRET,
    f: { format: "json" as const, value: "1" },
  };
  const masked = { format: "text", value: MASK, secret: true };
  expect(diffItems(before, after, new Set(["t"]))).toEqual([
    { key: "b", kind: "changed", before: text("1\n2"), after: text("1\n3"), lines: [" 1", "-2", "+3"] },
    { key: "come", kind: "added", after: text("y") },
    { key: "f", kind: "changed", before: text("1"), after: { format: "json", value: "1" }, lines: [" 1"] },
    { key: "gone", kind: "removed", before: text("x") },
    { key: "s", kind: "changed", before: masked, after: masked },
  ]);
  expect(diffItems({ a: SECRET }, { a: text("1") })).toMatchObject([{ before: masked, after: text("1") }]);
  expect(diffItems({}, { a: SECRET })).toEqual([{ key: "a", kind: "added", after: masked }]);
  expect(diffItems({ a: SECRET }, {})).toEqual([{ key: "a", kind: "removed", before: masked }]);
});

test.each([
  ["a\nb\nc", "a\nx\nc", [" a", "-b", "+x", " c"]],
  ["a\nb", "a\nb\nb", [" a", " b", "+b"]],
  ["a\na\nb", "a\nb", [" a", "-a", " b"]],
  ["a\nb\nc\nd", "b\nd\ne", ["-a", " b", "-c", " d", "+e"]],
  ["x", "y", ["-x", "+y"]],
  ["", "", [" "]],
])("from %j to %j: the lines that stay are as many as can be", (before, after, lines) =>
  expect(diffLines(before, after)).toEqual(lines),
);

const wanted = (items: Record<string, Item>) => ({
  name: NAME,
  items,
  files: { a: "default/orders/prod/a" },
  reason: undefined,
});

test("a plan says which keys come, change and go, and whether anything does", () => {
  const live = { version: 4, items: { a: text("1"), b: text("1"), c: text("1") } };
  const plan = planSet(wanted({ a: text("1"), b: text("2"), d: text("1") }), live, { keep: false });
  expect(plan).toMatchObject({
    fromVersion: 4,
    isChanged: true,
    added: ["d"],
    changed: ["b"],
    removed: ["c"],
    unchanged: 1,
  });
  expect(reported(plan, "planned")).toEqual({
    ...NAME,
    fromVersion: 4,
    outcome: "planned",
    added: ["d"],
    changed: ["b"],
    removed: ["c"],
    unchanged: 1,
  });
  const kept = planSet(wanted({ a: text("1") }), live, { keep: true });
  expect(kept).toMatchObject({ isChanged: false, removed: [], unchanged: 3, items: live.items });
  const format = planSet(wanted({ a: { format: "json", value: "1" } }), live, { keep: true });
  expect(format).toMatchObject({ isChanged: true, changed: ["a"], unchanged: 2 });
  // A set without a release is released, be it empty.
  expect(planSet(wanted({}), { version: 0, items: {} }, { keep: false })).toMatchObject({
    isChanged: true,
    unchanged: 0,
  });
  expect(planSet(wanted({}), { version: 1, items: {} }, { keep: false }).isChanged).toBe(false);
  expect(planSet(wanted({}), { version: 1, items: { a: text("") } }, { keep: false })).toMatchObject({
    isChanged: true,
    removed: ["a"],
  });
});

test("a dry run shows lines up to a limit over all sets, and compares none past it", () => {
  const lines = (count: number, mark: string) =>
    text(Array.from({ length: count }, (_, i) => `${mark}${i}`).join("\n"));
  const plan = (count: number) =>
    planSet(wanted({ a: lines(count / 2, "+") }), { version: 1, items: { a: lines(count / 2, "-") } }, { keep: true });
  const same = planSet(wanted({}), { version: 1, items: {} }, { keep: true });
  const shape = (...plans: Parameters<typeof shown>[0]) =>
    shown(plans).map(({ outcome, differences }) => [outcome, differences?.map(({ lines }) => lines?.length)]);
  expect(shape(plan(10), same, plan(20))).toEqual([
    ["planned", [10]],
    ["unchanged", undefined],
    ["planned", [20]],
  ]);
  expect(shape(plan(PLAN_LINES_MAX), plan(2))).toEqual([
    ["planned", [PLAN_LINES_MAX]],
    ["planned", undefined],
  ]);
  // One that does not fit leaves no room for others.
  expect(shape(plan(PLAN_LINES_MAX - 2), plan(4), plan(2))).toEqual([
    ["planned", [PLAN_LINES_MAX - 2]],
    ["planned", [undefined]],
    ["planned", undefined],
  ]);
});

test("problems name the file, and the first of them stands for all in a sentence", () => {
  const plan = planSet(wanted({ a: text("1") }), { version: 0, items: {} }, { keep: false });
  const problems = inFiles(plan, [
    { key: "a", pointer: "/x", message: "Wrong.", line: 2, column: 3 },
    { key: "b", pointer: "", message: "Missing." },
  ]);
  expect(problems).toEqual([
    { file: "default/orders/prod/a", message: "Wrong.", pointer: "/x", line: 2, column: 3 },
    { file: "default/orders/prod/b", message: "Missing." },
  ]);
  expect([firstOf(problems), firstOf(problems.slice(1)), firstOf([])]).toEqual([
    '"default/orders/prod/a" line 2, column 3 at /x: Wrong (and 1 more)',
    '"default/orders/prod/b": Missing',
    "",
  ]);
  expect(firstOf([{ file: "", message: "Mixed." }])).toBe("Mixed");
  expect(firstOf([{ file: "f", message: "Wrong", line: 7 }])).toBe('"f" line 7: Wrong');
});

test("a search finds keys and lines in order, no secrets and no binary values, and says when there are more", () => {
  const items = {
    b: text("one\ntwo needle\nneedle three"),
    needle: text("x"),
    a: { ...text("needle"), secret: true as const },
    c: { format: "binary" as const, value: "needle" },
    long: text(`needle ${"x".repeat(500)}`),
  };
  const release = { ...NAME, version: 7, items } as unknown as OpenRelease;
  const all = searchIn([release, { ...release, version: 8, items: {} }], "needle", { limit: 10 });
  expect(all.more).toBe(false);
  expect(all.hits.map(({ key, line }) => [key, line])).toEqual([
    ["b", 2],
    ["b", 3],
    ["long", 1],
    ["needle", 0],
  ]);
  expect(all.hits[0]).toEqual({ ...NAME, version: 7, key: "b", line: 2, text: "two needle" });
  expect(all.hits[2]?.text.length).toBeLessThan(250);
  expect([
    searchIn([release], "needle", { limit: 1 }),
    searchIn([release], "needle", { limit: 2 }).hits.length,
  ]).toEqual([{ hits: all.hits.slice(0, 1), more: true }, 2]);
  expect(searchIn([release], "needle", { limit: 2 }).more).toBe(true);
  expect(searchIn([release], "absent", { limit: 1 })).toEqual({ hits: [], more: false });
});

test("labels have one spelling: each once, in any order, a bounded number of them", () => {
  expect(parseLabels(["zone=eu,tier=canary", "", "a=b,"])).toEqual({ zone: "eu", tier: "canary", a: "b" });
  const invalid = ["CONFIG_IDENTITY_INVALID", { field: "/labels" }];
  expect(parseLabels(["a=b", "a=b"])).toEqual({ a: "b" });
  for (const wrong of ["a", "=b", "a=b=c d", "a=b,a=c"]) expect(errorOf(() => parseLabels([wrong]))).toEqual(invalid);
  const many = (count: number) => Array.from({ length: count }, (_, i) => `l${i}=x`);
  expect(Object.keys(parseLabels(many(LABELS_MAX)))).toHaveLength(LABELS_MAX);
  expect(errorOf(() => parseLabels(many(LABELS_MAX + 1)))).toEqual(invalid);
  const who = { instance: "i-1", labels: { zone: "eu", a: "b" } };
  expect([identityText(who), identityText({ labels: who.labels })]).toEqual(["i-1,a=b,zone=eu", ""]);
  expect([identityOf("i-1,a=b,zone=eu"), identityOf(""), identityOf("i-1")]).toEqual([
    who,
    { labels: {} },
    { instance: "i-1", labels: {} },
  ]);
});

test("a stage without a selector selects every caller; labels, names and shares select only instances with an id", () => {
  const who = { instance: "i-1", labels: { zone: "eu", tier: "canary" } };
  const picks = (selector: Parameters<typeof selects>[0], place = 0, asker: typeof who | { labels: {} } = who) =>
    selects(selector, asker, () => place);
  expect([picks({}), picks({}, 0, { labels: {} }), picks({ percent: 100 }, 0, { labels: {} })]).toEqual([
    true,
    true,
    false,
  ]);
  expect([picks({ labels: { zone: "eu" } }), picks({ labels: { zone: "eu", tier: "x" } })]).toEqual([true, false]);
  expect([picks({ instances: ["i-1"] }), picks({ instances: ["i-2"] })]).toEqual([true, false]);
  expect([picks({ percent: 12.34 }, 1233), picks({ percent: 12.34 }, 1234), picks({ percent: 100 }, 9999)]).toEqual([
    true,
    false,
    true,
  ]);
  // The first eight hex digits, by ten thousand places.
  expect(sharePlaceOf("r1", "i-1", (text) => (text === "r1 i-1" ? "0001e241ffff" : ""))).toBe(123_457 % 10_000);
});
