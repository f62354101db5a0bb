/** Times as people read them, updated each second. */
import { signal } from "@preact/signals";
import { locale } from "../text/mod.ts";

/** The current time in milliseconds, updated each second while the page is visible. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);

const UNITS: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** `3 minutes ago`, `in 2 hours`. */
export function formatAgo(time: string | number): string {
  const seconds = Math.round((new Date(time).getTime() - now.value) / 1000);
  const [unit, size] = UNITS.find(([, least]) => Math.abs(seconds) >= least) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(locale.value, { numeric: "auto", style: "short" }).format(
    Math.trunc(seconds / size),
    unit,
  );
}

export function formatTime(time: string | number): string {
  return new Intl.DateTimeFormat(locale.value, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(time));
}

export function formatClock(time: string | number): string {
  return new Intl.DateTimeFormat(locale.value, { timeStyle: "medium" }).format(new Date(time));
}

/** Milliseconds as `0.8 ms`, `120 ms` or `1.4 s`. */
export function formatDuration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
