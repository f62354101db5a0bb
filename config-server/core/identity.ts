/**
 * The identity of a config reader: an id and labels, in one canonical spelling. A stage selects identities by labels, by name
 * or by a share of all ids. A share is sticky: an id has one place per rollout, and a larger share includes every smaller one.
 */
import { invariant, own, setOwn } from "#base";
import { ConfigErrors, LABEL_NAME, LABEL_VALUE, LABELS_MAX, type Identity, type Labels } from "../api.ts";

/** A reader without an identity. */
export const NOBODY: Identity = { labels: {} };

/** Shares have a resolution of a hundredth of a percent. */
const PLACES = 10_000;
const LABEL = new RegExp(`^(${LABEL_NAME})=(${LABEL_VALUE})$`);

/** `zone=eu,tier=canary`, in one text or several. @throws CONFIG_IDENTITY_INVALID */
export function parseLabels(texts: readonly string[]): Labels {
  const labels: Record<string, string> = {};
  for (const text of texts.flatMap((one) => one.split(",")).filter((one) => one !== "")) {
    const [, name, value] = LABEL.exec(text) ?? [];
    if (name === undefined || value === undefined) {
      throw ConfigErrors.IDENTITY_INVALID(
        `"${text}" is not a valid label. Write NAME=VALUE with letters, digits and "._:/@+-", and commas between several.`,
        { extra: { field: "/labels" } },
      );
    }
    if ((own(labels, name) ?? value) !== value) {
      throw ConfigErrors.IDENTITY_INVALID(`The label "${name}" has two values. Give one.`, {
        extra: { field: "/labels" },
      });
    }
    setOwn(labels, name, value);
  }
  if (Object.keys(labels).length > LABELS_MAX) {
    throw ConfigErrors.IDENTITY_INVALID(
      `There are more than ${LABELS_MAX} labels; remove labels that no rollout selects by.`,
      {
        extra: { field: "/labels" },
      },
    );
  }
  return labels;
}

/** One text for one identity, in any order of its labels; empty without an instance. */
export function identityText({ instance, labels }: Identity): string {
  // Without an id, labels select nothing.
  if (instance === undefined) return "";
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return [instance, ...pairs.sort()].join(",");
}

/** Parses the result of `identityText`. */
export function identityOf(text: string): Identity {
  if (text === "") return NOBODY;
  const [instance = "", ...labels] = text.split(",");
  return { instance, labels: parseLabels(labels) };
}

/** Selects instances. With none of the three fields it selects every instance. */
export interface Selector {
  readonly labels?: Labels;
  readonly instances?: readonly string[];
  readonly percent?: number;
}

/** `place`: the place of the instance, by `sharePlaceOf`. */
export function selects({ labels, instances, percent }: Selector, who: Identity, place: () => number): boolean {
  if (!labels && !instances && percent === undefined) return true;
  if (who.instance === undefined) return false;
  if (labels) return Object.entries(labels).every(([name, value]) => own(who.labels, name) === value);
  if (instances) return instances.includes(who.instance);
  return place() < Math.round((percent as number) * (PLACES / 100));
}

/** The place of an id in a rollout, from 0 to 9,999. It differs by rollout, so that the first instances are not always the same. */
export function sharePlaceOf(rollout: string, instance: string, hash: (text: string) => string): number {
  // Eight hex digits are four billion, so no place is preferred by more than a millionth.
  const place = Number.parseInt(hash(`${rollout} ${instance}`).slice(0, 8), 16) % PLACES;
  invariant(place >= 0 && place < PLACES, "an instance has a place in each rollout");
  return place;
}
