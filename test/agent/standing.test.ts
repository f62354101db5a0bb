/** A host's acknowledgement of one config set: applied once every file has it, failed at the first that cannot. */
import { expect, test } from "vitest";
import { standingOf, type FileStanding } from "../../agent/core/standing.ts";

const NAME = { namespace: "default", app: "web", profile: "default" };
const config = { ...NAME, releaseKey: "r2", revision: 9, items: {} };
const file = (over: Partial<FileStanding> = {}): FileStanding => ({
  path: "/etc/web",
  key: "a",
  state: "current",
  looked: "r2",
  error: undefined,
  ...over,
});
const said = (...files: FileStanding[]) => standingOf(NAME, config, files).acknowledgement;
const APPLIED = { releaseKey: "r2", outcome: "applied" };

test("a release is applied once every file stands for it", () => {
  expect(said(file())).toEqual(APPLIED);
  expect(said(file(), file({ path: "/etc/b", key: undefined }))).toEqual(APPLIED);
});

test.each([
  ["waits", { state: "waiting" }],
  ["is being reloaded", { state: "reloading" }],
  ["has the previous release", { looked: "r1" }],
  ["is being looked at", { looked: undefined }],
  ["failed at the previous release", { looked: "r1", state: "failed", error: "disk" }],
] as const)("a file that %s delays the acknowledgement, and is not a failure", (_what, over) => {
  expect(said(file(), file(over))).toBeUndefined();
  expect(said(file(over))).toBeUndefined();
});

test("one failure is said at once, though others are on their way", () => {
  const failed = (error: string) => ({ releaseKey: "r2", outcome: "failed", error });
  const waiting = file({ state: "waiting" });
  expect(said(waiting, file({ state: "failed", error: "disk full" }))).toEqual(failed("disk full"));
  expect(said(file({ state: "failed" }))).toEqual(failed("/etc/web failed"));
  expect(said(file(), file({ state: "absent", key: "b" }), waiting)).toEqual(
    failed(`/etc/web: the release has no key "b"; the file stays as it was`),
  );
});

test("without a release nothing is said, and what is said is of that set only", () => {
  expect(standingOf({ ...NAME, more: 1 } as never, undefined, [file()])).toEqual({
    name: NAME,
    acknowledgement: undefined,
  });
  expect(standingOf(NAME, { ...config, revision: 0 }, [file()]).acknowledgement).toBeUndefined();
  expect(standingOf(NAME, { ...config, revision: 1 }, [file()]).acknowledgement).toEqual(APPLIED);
});
