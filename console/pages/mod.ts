/** The table of pages, in the order of the sidebar. */
import { LayoutDashboard, Shapes } from "lucide";
import { defineText } from "../text/mod.ts";
import type { PageRow } from "./page.ts";

const titles = defineText(
  { overview: "Overview", services: "Services", topology: "Topology", components: "Components" },
  { overview: "概览", services: "服务", topology: "拓扑", components: "组件" },
);

export const PAGES: readonly PageRow[] = [
  {
    id: "",
    icon: LayoutDashboard,
    group: "observe",
    title: () => titles().overview,
    key: "o",
    needs: "registry:read",
    load: () => import("./overview/page.tsx"),
  },
  {
    id: "components",
    icon: Shapes,
    title: () => titles().components,
    load: () => import("./components/page.tsx"),
  },
];
