/** The keys in which two states differ; each opens to the differences of its text. */
import { ChevronRight } from "lucide";
import { useSignal } from "@preact/signals";
import type { Difference } from "#config-server/api";
import { Badge, type Tone } from "../../../components/badge.tsx";
import { CodeEditor } from "../../../components/code-editor.tsx";
import { DiffView } from "../../../components/diff-view.tsx";
import { Icon } from "../../../components/icon.tsx";
import { bytesOfValue, sizeText } from "../core/names.ts";
import { releaseText } from "../release-text.ts";

const TONES: Readonly<Record<Difference["kind"], Tone>> = { added: "good", removed: "bad", changed: "accent" };
/** Differences that are open at first; more are opened one by one. */
const OPEN_MAX = 3;

interface DifferencesProps {
  readonly of: readonly Difference[];
  /** Names of the two states. */
  readonly labels?: readonly [before: string, after: string];
  /** A control beside each key, such as a choice. */
  readonly control?: (difference: Difference) => preact.ComponentChildren;
}

export function Differences({ of, labels, control }: DifferencesProps) {
  const text = releaseText();
  if (of.length === 0) return <p class="muted config-none">{text.noDifferences}</p>;
  return (
    <ul class="config-differences" aria-label={text.differences(of.length)}>
      {of.map((one) => (
        <DifferenceOfKey
          key={one.key}
          difference={one}
          isOpenAtFirst={of.length <= OPEN_MAX}
          control={control?.(one)}
          {...(labels ? { labels } : {})}
        />
      ))}
    </ul>
  );
}

interface DifferenceOfKeyProps {
  readonly difference: Difference;
  readonly isOpenAtFirst: boolean;
  readonly labels?: readonly [string, string];
  readonly control: preact.ComponentChildren;
}

function DifferenceOfKey({ difference, isOpenAtFirst, labels, control }: DifferenceOfKeyProps) {
  const text = releaseText();
  const isOpen = useSignal(isOpenAtFirst);
  const { key, kind } = difference;
  return (
    <li>
      {control}
      <details open={isOpen.value} onToggle={(event) => (isOpen.value = event.currentTarget.open)}>
        <summary>
          <Icon of={ChevronRight} size={14} />
          <code>{key}</code> <Badge tone={TONES[kind]}>{text[`kind_${kind}`]}</Badge>
        </summary>
        {isOpen.value && <DifferenceOfText difference={difference} {...(labels ? { labels } : {})} />}
      </details>
    </li>
  );
}

function DifferenceOfText({ difference, labels }: Pick<DifferenceOfKeyProps, "difference" | "labels">) {
  const text = releaseText();
  const { before, after } = difference;
  const either = after ?? before;
  if (before?.secret || after?.secret) return <p class="muted">{text.secretChanged}</p>;
  if (before?.format === "binary" || after?.format === "binary") {
    const [was, is] = [before, after].map((item) => (item ? sizeText(bytesOfValue(item.format, item.value)) : "–"));
    return <p class="muted">{text.binaryChanged(was ?? "–", is ?? "–")}</p>;
  }
  if (before?.value === after?.value) return <p class="muted">{text.onlyAttributes}</p>;
  // A whole key is shown as it is, not beside an empty text.
  if (!before || !after)
    return <CodeEditor label={difference.key} format={either?.format ?? "text"} value={either?.value ?? ""} />;
  return <DiffView before={before.value} after={after.value} format={after.format} {...(labels ? { labels } : {})} />;
}
