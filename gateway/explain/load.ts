/** Loads what explains requests when somebody asks for it, since it brings all of the pipeline. */
export const loadExplain = () => import("./plugin.ts");
