/**
 * Percentage splits, in which each key keeps its place. The place is computed by SHA-256, so programs in any language find
 * the same one. It does not depend on the percentages: a key that is included at 10 % is also included at 20 %.
 */
import { hash } from "node:crypto";
import { invariant } from "#base";
import type { RuleDefinition } from "../api.ts";
import type { Report } from "./condition.ts";

/** Places of a split: a place is 1/100 %. */
const PLACES = 10_000;

/** The first 32 bits of SHA-256 of `SALT:KEY` in UTF-8, big-endian, times 10,000 over 2^32, rounded down. */
export function splitPlaceOf(salt: string, key: string): number {
  const first = Number.parseInt(hash("sha256", `${salt}:${key}`, "hex").slice(0, 8), 16);
  const place = Math.floor((first * PLACES) / 2 ** 32);
  invariant(0 <= place && place < PLACES, "every key has a place in its split");
  return place;
}

/** Returns the variant of a place. */
export type Split = (place: number) => string;

/** Variants occupy places in the order of the document, the first one from 0. */
export function compileSplit(split: NonNullable<RuleDefinition["split"]>, pointer: string, report: Report): Split {
  const ends: { readonly variant: string; readonly end: number }[] = [];
  let end = 0;
  for (const [variant, percent] of Object.entries(split)) {
    const places = Math.round((percent * PLACES) / 100);
    if (Math.abs((places * 100) / PLACES - percent) > 1e-9) {
      report(`${pointer}/${variant}`, `${percent} % is not a multiple of 0.01 %.`);
    }
    end += places;
    ends.push({ variant, end });
  }
  if (end !== PLACES) report(pointer, `The percentages sum to ${(end * 100) / PLACES}, but must sum to 100.`);
  const last = ends.at(-1)?.variant ?? "";
  return (place) => ends.find((one) => place < one.end)?.variant ?? last;
}
