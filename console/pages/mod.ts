/** The table of pages, in the order of the sidebar. */
import { Box, FileSliders, LayoutDashboard, Lock, Route, Shapes, Waypoints } from "lucide";
import { defineText } from "../text/mod.ts";
import type { PageRow } from "./page.ts";

const titles = defineText(
  {
    overview: "Overview",
    services: "Services",
    topology: "Topology",
    locks: "Locks",
    config: "Config",
    routes: "Routes",
    components: "Components",
  },
  {
    overview: "概览",
    services: "服务",
    topology: "拓扑",
    locks: "锁",
    config: "配置",
    routes: "路由",
    components: "组件",
  },
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
    id: "services",
    paths: ["/services/:service"],
    icon: Box,
    group: "observe",
    title: () => titles().services,
    key: "s",
    needs: "registry:read",
    load: () => import("./services/page.tsx"),
  },
  {
    id: "topology",
    icon: Waypoints,
    group: "observe",
    title: () => titles().topology,
    key: "t",
    needs: "registry:read",
    load: () => import("./topology/page.tsx"),
  },
  {
    id: "locks",
    paths: ["/locks/:name"],
    icon: Lock,
    group: "observe",
    title: () => titles().locks,
    key: "l",
    needs: "locks:read",
    load: () => import("./locks/page.tsx"),
  },
  {
    id: "config",
    paths: ["/config/:namespace/:app/:profile"],
    icon: FileSliders,
    group: "change",
    title: () => titles().config,
    key: "c",
    needs: "config:read",
    load: () => import("./config/page.tsx"),
  },
  {
    id: "routes",
    paths: ["/routes/edit", "/routes/test", "/routes/releases", "/routes/at/:name"],
    icon: Route,
    group: "change",
    title: () => titles().routes,
    key: "r",
    needs: "config:read",
    load: () => import("./routes/page.tsx"),
  },
  {
    id: "components",
    icon: Shapes,
    title: () => titles().components,
    load: () => import("./components/page.tsx"),
  },
];
