/**
 * How much of a limit is left, and how much of that one request receives. A rate is stored as a time, as in the generic
 * cell rate algorithm, and a limit per day or month as a count in a period. Pure: a record, a request and the current time
 * give the next record.
 */
import { invariant } from "#base";
import { QUOTA_LEASE_MS, type QuotaAsk, type QuotaLease } from "../api.ts";

/** `at`: when the whole rate is available again, in milliseconds since 1970. */
export type QuotaRecord =
  | { readonly kind: "rate"; readonly at: number }
  | { readonly kind: "period"; readonly period: string; readonly used: number };

/** Largest share of what is left that one request receives ahead of need, so that the next request finds some, too. */
const SHARE_MAX = 0.5;
/** Milliseconds that rounding may cost: times since 1970 are exact to a quarter of a microsecond. */
const ROUNDING_MS = 1e-3;
const DAY_MS = 86_400_000;

export function settle(
  record: QuotaRecord | undefined,
  ask: QuotaAsk,
  nowMs: number,
): { readonly record: QuotaRecord; readonly lease: QuotaLease } {
  return typeof ask.per === "number"
    ? settleRate(record, ask, ask.per, nowMs)
    : settlePeriod(record, ask, ask.per, nowMs);
}

function settleRate(record: QuotaRecord | undefined, ask: QuotaAsk, perSeconds: number, nowMs: number) {
  const { key, requests, burst = requests, spent = 0, waiting = 0, agoMs = 0 } = ask;
  const spacing = (perSeconds * 1000) / requests;
  const full = spacing * burst;
  // Counted from the arrival. Otherwise each request that waited would delay all later ones.
  const cameMs = nowMs - agoMs;
  // A clock that was set back, on this member or another, must not lock callers out for longer than two full allowances.
  const known = record?.kind === "rate" ? Math.min(record.at, nowMs + 2 * full) : cameMs;
  const before = Math.max(known, cameMs) + spent * spacing;
  const left = Math.max(0, Math.floor((full - Math.max(0, before - nowMs) + ROUNDING_MS) / spacing));
  const granted = share(ask, left);
  const ahead = Math.max(0, granted - waiting);
  const counted = before + (granted - ahead) * spacing;
  const at = ahead > 0 ? Math.max(counted, nowMs) + ahead * spacing : counted;
  invariant(at >= before, "a grant does not make a rate available earlier");
  const lease = { key, granted, remaining: left - granted, resetMs: Math.max(0, at - nowMs), validMs: QUOTA_LEASE_MS };
  return { record: { kind: "rate", at } as const, lease };
}

function settlePeriod(record: QuotaRecord | undefined, ask: QuotaAsk, per: "day" | "month", nowMs: number) {
  const { key, requests, spent = 0 } = ask;
  const { period, endMs } = periodAt(per, nowMs);
  const same = record?.kind === "period" && record.period === period;
  const before = (same ? record.used : 0) + spent;
  const left = Math.max(0, requests - before);
  const granted = share(ask, left);
  const resetMs = endMs - nowMs;
  const lease = { key, granted, remaining: left - granted, resetMs, validMs: resetMs };
  return { record: { kind: "period", period, used: before + granted } as const, lease };
}

function share({ want, waiting = 0 }: QuotaAsk, left: number): number {
  const granted = Math.min(want, left, Math.max(waiting, Math.ceil(left * SHARE_MAX)));
  invariant(0 <= granted && granted <= left, "a lease grants at most what is left of its limit");
  return granted;
}

/** The name of the period at a time, and when it ends. */
export function periodAt(per: "day" | "month", nowMs: number): { readonly period: string; readonly endMs: number } {
  const date = new Date(nowMs);
  const text = date.toISOString();
  if (per === "day") return { period: text.slice(0, 10), endMs: (Math.floor(nowMs / DAY_MS) + 1) * DAY_MS };
  return { period: text.slice(0, 7), endMs: Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1) };
}

export function readRecord(text: string): QuotaRecord | undefined {
  const value = JSON.parse(text) as QuotaRecord;
  // A record of a later version: restart the limit, rather than fail every request for it.
  return value.kind === "rate" || value.kind === "period" ? value : undefined;
}
