/** Builds the console into static files for `/ui/`. `npm run build:console` and `npm ci` call it through scripts/console.ts. */
import { join } from "node:path";
import { defineConfig } from "vite";

/**
 * The first page needs these parts, so they are one file: many small ones compress worse. Components that are large, or that bring a
 * library, stay files of their own, as do all other pages.
 */
const FIRST = new RegExp(
  [
    "console/(main|app|text|shell)",
    "console/data/(?!feed-worker|config-text|rereading)",
    "console/components/(?!table|graph|code|diff|chart-plot)",
    "console/pages/(mod|page|overview)",
    "node_modules/(preact|@preact|preact-iso)/",
  ].join("|"),
);

/** Views of the page of configs that are opened one after the other: one file, since they share most of their words. */
const CONFIG_CHANGES = /console\/pages\/config\/(review|release|rollout|history|compare)/;

/** Views of the page Access beside the tokens, which share their words, too. */
const ACCESS_VIEWS = /console\/pages\/access\/(policies|policy-(?!choice)|binding|check|sign-ins|join|denials|action)/;

/** The files that the build makes. The first group that matches a source takes it; the order is that of the priorities. */
const GROUPS = [
  { name: "first", test: FIRST, priority: 2 },
  { name: "table", test: /console\/components\/table|node_modules\/@tanstack\//, priority: 1 },
  { name: "config-changes", test: CONFIG_CHANGES, includeDependenciesRecursively: false },
  { name: "access-views", test: ACCESS_VIEWS, includeDependenciesRecursively: false },
];

export default defineConfig({
  root: import.meta.dirname,
  base: "/ui/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: join(import.meta.dirname, "..", "node_modules", ".cache", "posthouse", "console"),
    emptyOutDir: true,
    target: "es2024",
    // The content security policy allows no data: URLs for scripts and fonts, and no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 600,
    rolldownOptions: { output: { codeSplitting: { groups: GROUPS } } },
  },
  worker: { format: "es" },
});
