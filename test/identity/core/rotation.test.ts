/** The rotation of the authority as a pure machine, over years of virtual time. */
import { expect, test } from "vitest";
import {
  type AuthorityRecord,
  dueStep,
  firstAuthority,
  INTERMEDIATE_MS,
  issuingRoot,
  RENEWAL_GRACE_MS,
  ROOT_MS,
  withNewIssuer,
  withStep,
} from "#identity/core";

const DAY_MS = 86_400_000;
const OVERLAP_MS = 8 * DAY_MS;
let ids = 0;

const newRoot = (nowMs: number) => ({
  id: `root-${++ids}`,
  certificate: "",
  expiresAtMs: nowMs + ROOT_MS,
  sealed: "sealed",
  imported: false,
});
const newIntermediate = (root: string, nowMs: number) => ({
  id: `intermediate-${++ids}`,
  root,
  certificate: "",
  chain: "",
  expiresAtMs: nowMs + INTERMEDIATE_MS,
  sealed: "sealed",
  imported: false,
});

function first(nowMs: number): AuthorityRecord {
  const root = newRoot(nowMs);
  return firstAuthority("posthouse", { root, intermediate: newIntermediate(root.id, nowMs) });
}

/** Takes every step that is due, as a member does. */
function stepped(record: AuthorityRecord, nowMs: number): AuthorityRecord {
  for (let current = record; ;) {
    const step = dueStep(current, nowMs);
    if (step === undefined) return current;
    if (step === "switch" || step === "remove") current = withStep(current, step, nowMs);
    else {
      const root = step === "rotate-root" ? newRoot(nowMs) : undefined;
      const of = root?.id ?? issuingRoot(current)?.id ?? "";
      const issuer = { ...(root ? { root } : {}), intermediate: newIntermediate(of, nowMs) };
      current = withNewIssuer(current, issuer, { nowMs, overlapMs: OVERLAP_MS });
    }
  }
}

test("over thirty years, the issuing certificates never run out, and few are kept", () => {
  let record = first(0);
  const roots = new Set<string>();
  for (let nowMs = 0; nowMs < 30 * 365 * DAY_MS; nowMs += 5 * DAY_MS) {
    record = stepped(record, nowMs);
    const issuing = record.intermediates.find(({ id }) => id === record.issuing);
    expect(issuing?.expiresAtMs).toBeGreaterThan(nowMs + 20 * DAY_MS);
    expect(record.roots.map(({ id }) => id)).toContain(issuing?.root);
    expect(record.roots.length).toBeLessThanOrEqual(2);
    expect(record.intermediates.length).toBeLessThanOrEqual(4);
    roots.add(issuing?.root ?? "");
  }
  expect(roots.size).toBe(4);
});

/** The roots that a process still has on its return, and those that the control plane has. */
test.for([0, 1, 3, 5, 7])(
  "a process that is away for a week finds its way back, whenever in a rotation it leaves: day %d",
  (leaves) => {
    let record = first(0);
    const root = newRoot(0);
    record = withNewIssuer(
      record,
      { root, intermediate: newIntermediate(root.id, 0) },
      { nowMs: 0, overlapMs: OVERLAP_MS },
    );
    const history: AuthorityRecord[] = [];
    for (let day = 0; day <= 40; day++) history.push((record = stepped(record, day * DAY_MS)));
    for (let away = leaves; away + 8 <= 32; away++) {
      const [before, after] = [history[away], history[away + 7]];
      const bundle = before?.roots.map(({ id }) => id);
      // It still trusts the root of the control plane's certificates, and the control plane the root of its last certificate.
      expect(bundle).toContain(after && issuingRoot(after)?.id);
      expect(after?.roots.map(({ id }) => id)).toContain(before && issuingRoot(before)?.id);
      expect(after?.intermediates.map(({ id }) => id)).toContain(before?.issuing);
    }
  },
);

test("a new root is announced before it issues, and the old one leaves after the last certificate and the overlap", () => {
  const record = first(0);
  const old = issuingRoot(record)?.id;
  const root = newRoot(0);
  const announced = withNewIssuer(
    record,
    { root, intermediate: newIntermediate(root.id, 0) },
    { nowMs: 0, overlapMs: OVERLAP_MS },
  );
  expect(announced.roots.map(({ id }) => id)).toEqual([old, root.id]);
  expect(issuingRoot(announced)?.id).toBe(old);
  expect(dueStep(announced, OVERLAP_MS - 1)).toBeUndefined();
  const switched = stepped(announced, OVERLAP_MS);
  expect([issuingRoot(switched)?.id, switched.roots.length]).toEqual([root.id, 2]);
  const endMs = OVERLAP_MS + DAY_MS + OVERLAP_MS;
  expect(stepped(switched, endMs).roots.length).toBe(2);
  const done = stepped(switched, endMs + 3_600_000);
  expect(done.roots.map(({ id }) => id)).toEqual([root.id]);
  expect(done.intermediates.map(({ root: of }) => of)).toEqual([root.id]);
});

test("an intermediate is renewed while a root is announced, and neither is lost", () => {
  const record = first(0);
  const root = newRoot(0);
  const longMs = 200 * DAY_MS;
  let current = withNewIssuer(
    record,
    { root, intermediate: newIntermediate(root.id, 190 * DAY_MS) },
    { nowMs: 0, overlapMs: longMs },
  );
  for (let day = 0; day < 200; day++) current = stepped(current, day * DAY_MS);
  expect(issuingRoot(current)?.id).toBe(record.roots[0]?.id);
  expect(current.intermediates.find(({ id }) => id === current.issuing)?.expiresAtMs).toBeGreaterThan(longMs);
  expect(issuingRoot(stepped(current, longMs))?.id).toBe(root.id);
});

test("a root without its key is never rotated by itself", () => {
  const record = first(0);
  const { sealed: _, ...outside } = record.roots[0] ?? newRoot(0);
  expect(dueStep({ ...record, roots: [outside] }, INTERMEDIATE_MS - DAY_MS)).toBeUndefined();
});

test("the grace of a renewal is shorter than the overlap of roots", () => {
  expect(RENEWAL_GRACE_MS).toBeLessThan(OVERLAP_MS);
});
