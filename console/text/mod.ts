/** The console's languages. A page keeps its own texts beside itself: `defineText(en, zh)`, so a missing text does not compile. */
import { computed, signal } from "@preact/signals";

export type Language = "en" | "zh";
export const LANGUAGES: readonly { readonly id: Language; readonly name: string }[] = [
  { id: "en", name: "English" },
  { id: "zh", name: "中文" },
];

const KEY = "posthouse.language";

function initialLanguage(): Language {
  const stored = localStorage.getItem(KEY);
  if (stored === "en" || stored === "zh") return stored;
  return navigator.languages.some((one) => one.toLowerCase().startsWith("zh")) ? "zh" : "en";
}

export const language = signal<Language>(initialLanguage());
/** The language as a BCP 47 tag, for Intl and the `lang` attribute. */
export const locale = computed(() => (language.value === "zh" ? "zh-CN" : "en-US"));

export function chooseLanguage(next: Language): void {
  language.value = next;
  localStorage.setItem(KEY, next);
}

type Translated<Text> = {
  readonly [Key in keyof Text]: Text[Key] extends (...args: infer Args) => string
    ? (...args: Args) => string
    : Text[Key] extends string
      ? string
      : Translated<Text[Key]>;
};

/**
 * Texts in both languages. The returned function gives those of the current language, and renders its component again when the
 * language changes.
 */
export function defineText<const Text extends object>(en: Text, zh: Translated<Text>): () => Translated<Text> {
  return () => (language.value === "zh" ? zh : (en as Translated<Text>));
}

/** `1 instance`, `2 instances`. Chinese has no plural forms, so only English texts need it. */
export function plural(count: number, one: string, many: string): string {
  return `${formatNumber(count)} ${count === 1 ? one : many}`;
}

export function formatNumber(value: number): string {
  return new Intl.NumberFormat(locale.value, { maximumFractionDigits: 1 }).format(value);
}

/** A rate or a share: small ones are not shown as 0. */
export function formatRate(value: number): string {
  return value > 0 && value < 0.05 ? `<${formatNumber(0.1)}` : formatNumber(value);
}
