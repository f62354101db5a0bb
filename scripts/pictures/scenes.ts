/** The pictures: which page each one shows, and how to get there. */
import type { Page } from "playwright-core";

export interface Scene {
  readonly name: string;
  readonly path: string;
  /** Selector of an element that must be on the page before the picture is taken. */
  readonly shows: string;
  readonly before?: (page: Page) => Promise<void>;
}

export const SCENES: readonly Scene[] = [
  { name: "overview", path: "/ui/", shows: ".problems" },
  { name: "service", path: "/ui/services/payments?instance=payments-3", shows: "dialog .output" },
  { name: "config", path: "/ui/config/default/orders/default?tab=history&a=2&b=3", shows: ".cm-content" },
  {
    name: "tester",
    path: `/ui/routes/test?url=${encodeURIComponent("https://shop.example.com/api/orders/1042")}`,
    shows: "main table, main [role=table]",
  },
  { name: "topology", path: "/ui/topology", shows: ".graph-node" },
];

export const LANGUAGES = [
  ["en", "en-US"],
  ["zh", "zh-CN"],
] as const;
export const THEMES = ["light", "dark"] as const;
