/**
 * The limits of secrets: they may not be keys that the config server itself reads, or values that a release check uses. And
 * the masking of configs for readers that do not run the app. Pure.
 */
import { setOwn } from "#base";
import {
  MASK,
  type EffectiveConfig,
  type Items,
  type ReleaseCheck,
  type ReleaseProblem,
  type SetName,
} from "../api.ts";

/** Secrets under keys that posthouse reads and quotes in problems: schemas, and the list of imports. */
export function unfitForSecrets(items: Items, isRead: (key: string) => boolean): ReleaseProblem[] {
  return Object.entries(items)
    .filter(([key, { secret }]) => secret && isRead(key))
    .map(([key]) => ({
      key,
      pointer: "",
      message: "it must not be a secret: the config server reads it, and quotes it in problems",
    }));
}

/**
 * The problems that a check finds. Checks quote values in problems, so they receive no secret. A value that a check reads
 * must therefore not be a secret.
 */
export function checkWithoutSecrets(check: ReleaseCheck, name: SetName, items: Items): readonly ReleaseProblem[] {
  const secrets = Object.entries(items).filter(([, { secret }]) => secret);
  if (secrets.length === 0) return check(name, items);
  const asked = new Set<string>();
  const shown: Items = { ...items };
  for (const [key, item] of secrets) {
    const { value: _value, ...rest } = item;
    const blind = Object.defineProperty({ ...rest, value: "" }, "value", {
      enumerable: true,
      get: () => {
        asked.add(key);
        return "";
      },
    });
    setOwn(shown, key, blind);
  }
  const problems = check(name, shown);
  if (asked.size === 0) return problems;
  return [...asked].map((key) => ({
    key,
    pointer: "",
    message: "it must not be a secret or contain one: posthouse itself reads it, and quotes it in problems",
  }));
}

/** A config for readers that do not run the app. */
export function maskedConfig(config: EffectiveConfig): EffectiveConfig {
  if (!hasSecrets(config)) return config;
  const items = Object.entries(config.items).map(([key, item]) => [key, item.secret ? { ...item, value: MASK } : item]);
  return { ...config, items: Object.fromEntries(items) as EffectiveConfig["items"] };
}

export function hasSecrets({ items }: EffectiveConfig): boolean {
  return Object.values(items).some(({ secret }) => secret);
}
