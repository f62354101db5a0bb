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
    "console/data/(?!feed-worker)",
    "console/components/(?!table|graph|code|diff|chart-plot)",
    "console/pages/(mod|page|overview)",
    "node_modules/(preact|@preact|preact-iso)/",
  ].join("|"),
);

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
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: "first", test: FIRST }] } } },
  },
  worker: { format: "es" },
});
