/** Builds the console into static files for `/ui/`. `npm run build:console` and `npm ci` call it through scripts/console.ts. */
import { join } from "node:path";
import { defineConfig } from "vite";

/**
 * What the first page needs is one file: many small ones compress worse. Components that are large, or that bring a library, stay files of
 * their own, as do all other pages.
 */
const FIRST =
  /console\/(main|app|design|data\/(?!feed-worker)|text|shell|components\/(?!table|graph|code|diff|chart-plot)|pages\/(mod|page|overview))|node_modules\/(preact|@preact|preact-iso)\//;

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
