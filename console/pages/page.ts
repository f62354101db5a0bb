/** A page of the console: one folder with its views and texts, and one row in pages/mod.ts. */
import type { ComponentType } from "preact";
import type { IconNode } from "lucide";

export type PageGroup = "observe" | "change" | "administer";

export interface PageRow {
  /** Also the first part of its URL below /ui/. The overview has "". */
  readonly id: string;
  /** Patterns of further URLs, such as `/services/:service`. The page reads the parameters by `useRoute()` of preact-iso. */
  readonly paths?: readonly string[];
  readonly icon: IconNode;
  /** Heading in the sidebar; absent: the page has no entry there. */
  readonly group?: PageGroup;
  readonly title: () => string;
  /** The key after `g` that opens the page. */
  readonly key?: string;
  /** The action without which the page shows nothing, such as `registry:read`. */
  readonly needs?: string;
  readonly load: () => Promise<{ readonly default: ComponentType }>;
}
