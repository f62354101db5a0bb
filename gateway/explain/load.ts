/** Loads the explainer on first use, since it imports the whole pipeline. */
export const loadExplain = () => import("./plugin.ts");
