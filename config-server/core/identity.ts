/**
 * Who asks for a config: an id and labels, in one canonical spelling. Whether a stage selects it, by labels, by name or by a
 * share of all ids. A share is sticky: an id has one place per rollout, and a larger share holds every smaller one.
 */
import { own, setOwn } from "#base";
import { ConfigErrors, LABEL_NAME, LABEL_VALUE, LABELS_MAX, type Identity, type Labels } from "../api.ts";

/** Nobody in particular. */
export const NOBODY: Identity = { labels: {} };

/** Shares are told apart down to a hundredth of a percent. */
const PLACES = 10_000;
const LABEL = new RegExp(`^(${LABEL_NAME})=(${LABEL_VALUE})$`);

/** `zone=eu,tier=canary`, in one text or several. @throws CONFIG_IDENTITY_INVALID */
export function parseLabels(texts: readonly string[]): Labels {
  const labels: Record<string, string> = {};
  for (const text of texts.flatMap((one) => one.split(",")).filter((one) => one !== "")) {
    const [, name, value] = LABEL.exec(text) ?? [];
    if (name === undefined || value === undefined) {
      throw ConfigErrors.IDENTITY_INVALID(
        `"${text}" is no label; one is NAME=VALUE of letters, digits and "._:/@+-", with commas between several.`,
        { extra: { field: "/labels" } },
      );
    }
    if ((own(labels, name) ?? value) !== value) {
      throw ConfigErrors.IDENTITY_INVALID(`The label "${name}" is given twice; say which one holds.`, {
        extra: { field: "/labels" },
      });
    }
    setOwn(labels, name, value);
  }
  if (Object.keys(labels).length > LABELS_MAX) {
    throw ConfigErrors.IDENTITY_INVALID(`There are more than ${LABELS_MAX} labels; leave out what nobody selects by.`, {
      extra: { field: "/labels" },
    });
  }
  return labels;
}

/** One text for one identity, whatever the order of its labels; empty for nobody in particular. */
export function identityText({ instance, labels }: Identity): string {
  // Without an id labels select nothing.
  if (instance === undefined) return "";
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return [instance, ...pairs.sort()].join(",");
}

/** What `identityText` wrote. */
export function identityOf(text: string): Identity {
  if (text === "") return NOBODY;
  const [instance = "", ...labels] = text.split(",");
  return { instance, labels: parseLabels(labels) };
}

/** What selects instances; none of the three: everybody. */
export interface Selector {
  readonly labels?: Labels;
  readonly instances?: readonly string[];
  readonly percent?: number;
}

/** `place`: of the instance, by `sharePlaceOf`. */
export function selects({ labels, instances, percent }: Selector, who: Identity, place: () => number): boolean {
  if (!labels && !instances && percent === undefined) return true;
  if (who.instance === undefined) return false;
  if (labels) return Object.entries(labels).every(([name, value]) => own(who.labels, name) === value);
  if (instances) return instances.includes(who.instance);
  return place() < Math.round((percent as number) * (PLACES / 100));
}

/** The place of an id in a rollout, from 0 to 9,999: another one in each rollout, so that not always the same go first. */
export function sharePlaceOf(rollout: string, instance: string, hash: (text: string) => string): number {
  // Eight hex digits are four billion, so that no place is preferred by more than a millionth.
  return Number.parseInt(hash(`${rollout} ${instance}`).slice(0, 8), 16) % PLACES;
}
