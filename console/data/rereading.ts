/** Reading data again that no feed reports, while the page is visible. */
import { useEffect } from "preact/hooks";
import type { Resource } from "./resource.ts";

/** Milliseconds between readings of figures that change all the time. */
const FIGURES_MS = 5_000;

export function useRereading({ reload }: Pick<Resource<unknown>, "reload">, everyMs: number = FIGURES_MS): void {
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) void reload();
    }, everyMs);
    return () => clearInterval(timer);
  }, []);
}
