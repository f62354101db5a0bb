/** The table of pages, in the order of the sidebar. */
import { Shapes } from "lucide";
import { defineText } from "../text/mod.ts";
import type { PageRow } from "./page.ts";

const titles = defineText({ components: "Components" }, { components: "组件" });

export const PAGES: readonly PageRow[] = [
  {
    id: "components",
    icon: Shapes,
    title: () => titles().components,
    load: () => import("./components/page.tsx"),
  },
];
