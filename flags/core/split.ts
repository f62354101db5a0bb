/**
 * A percentage split: who is where, for good. The place of a key is drawn by SHA-256, so every program in any language
 * finds the same, and it does not depend on the percentages: whoever is in at 10 % is in at 20 %.
 */
import { hash } from "node:crypto";
import type { RuleDefinition } from "../api.ts";
import type { Report } from "./condition.ts";

/** Places of a split: a place is 1/100 %. */
const PLACES = 10_000;

/** The first 32 bits of SHA-256 of `SALT:KEY` in UTF-8, big-endian, times 10,000 over 2^32, rounded down. */
export function placeOf(salt: string, key: string): number {
  const first = Number.parseInt(hash("sha256", `${salt}:${key}`, "hex").slice(0, 8), 16);
  return Math.floor((first * PLACES) / 2 ** 32);
}

/** The variant of a place. */
export type Split = (place: number) => string;

/** Variants have the places in the order in which they are written, the first from 0 on. */
export function compileSplit(split: NonNullable<RuleDefinition["split"]>, pointer: string, report: Report): Split {
  const ends: { readonly variant: string; readonly end: number }[] = [];
  let end = 0;
  for (const [variant, percent] of Object.entries(split)) {
    const places = Math.round((percent * PLACES) / 100);
    if (Math.abs((places * 100) / PLACES - percent) > 1e-9) {
      report(`${pointer}/${variant}`, `${percent} % is no step of 0.01 %.`);
    }
    end += places;
    ends.push({ variant, end });
  }
  if (end !== PLACES) report(pointer, `The percentages sum to ${(end * 100) / PLACES}, not to 100.`);
  const last = ends.at(-1)?.variant ?? "";
  return (place) => ends.find((one) => place < one.end)?.variant ?? last;
}
