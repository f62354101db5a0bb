/** The differences of two texts: beside each other where there is room, else in one column. Equal lines are collapsed. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { language } from "../text/mod.ts";
import { codeText } from "./code/text.ts";

interface DiffViewProps {
  readonly before: string;
  readonly after: string;
  /** As for CodeEditor. */
  readonly format: string;
  /** Names of the two sides, such as `Version 3` and `Live`. */
  readonly labels?: readonly [before: string, after: string];
}

/** Width in rem from which the two texts are beside each other. */
const SIDES_FROM_REM = 54;

export function DiffView({ before, after, format, labels }: DiffViewProps) {
  const text = codeText();
  const place = useRef<HTMLDivElement>(null);
  const isWide = useSignal<boolean | undefined>(undefined);
  const isFailed = useSignal(false);
  const [left, right] = labels ?? [text.before, text.after];
  const isSame = before === after;
  useEffect(() => {
    if (!place.current) return undefined;
    const observer = new ResizeObserver(([entry]) => {
      isWide.value = (entry?.contentRect.width ?? 0) >= SIDES_FROM_REM * 16;
    });
    observer.observe(place.current);
    return () => observer.disconnect();
  }, [isSame]);
  useEffect(() => {
    const parent = place.current;
    if (!parent || isWide.value === undefined) return undefined;
    let remove = () => {};
    let isOver = false;
    const open = async () => {
      const { showDiff } = await import("./code/diff.ts");
      if (!isOver)
        remove = showDiff(parent, { before, after, format, labels: [left, right], isUnified: !isWide.value });
    };
    open().catch(() => (isFailed.value = true));
    return () => {
      isOver = true;
      remove();
    };
  }, [before, after, format, left, right, isWide.value, language.value]);
  if (isSame) return <p class="code-same muted">{text.same}</p>;
  return (
    <div class="code diff">
      {isWide.value === true && (
        <div class="diff-labels" aria-hidden="true">
          <span>{left}</span>
          <span>{right}</span>
        </div>
      )}
      <div ref={place} class="code-area" />
      {isFailed.value && <pre class="mono">{after}</pre>}
    </div>
  );
}
