/** The tree of names above a list: the way to the chosen prefix, and the groups below it. */
import { Folder } from "lucide";
import { Icon } from "../../components/icon.tsx";
import { commonText } from "../../text/common.ts";
import { formatNumber } from "../../text/mod.ts";
import { groupsBelow, stepsOf } from "./tree.ts";
import { locksText } from "./text.ts";

interface NameTreeProps {
  readonly names: readonly string[];
  readonly prefix: string;
  readonly onPrefix: (prefix: string) => void;
}

/** Groups that are shown. More are a list to search, not to choose from. */
const GROUPS_SHOWN = 40;

export function NameTree({ names, prefix, onPrefix }: NameTreeProps) {
  const groups = groupsBelow(names, prefix);
  const steps = stepsOf(prefix);
  if (groups.length === 0 && prefix === "") return null;
  return (
    <nav class="name-tree" aria-label={locksText().within}>
      <button type="button" class="step" aria-current={prefix === "" ? "true" : undefined} onClick={() => onPrefix("")}>
        {commonText().all}
      </button>
      {steps.map((step) => (
        <span key={step.prefix} class="path">
          <span aria-hidden="true">/</span>
          <button
            type="button"
            class="step mono"
            aria-current={step.prefix === prefix ? "true" : undefined}
            onClick={() => onPrefix(step.prefix)}
          >
            {step.name}
          </button>
        </span>
      ))}
      {groups.slice(0, GROUPS_SHOWN).map((group) => (
        <button key={group.prefix} type="button" class="group" onClick={() => onPrefix(group.prefix)}>
          <Icon of={Folder} size={14} />
          <span class="mono truncate">{group.name}</span>
          <span class="count">{formatNumber(group.count)}</span>
        </button>
      ))}
      {groups.length > GROUPS_SHOWN && <span class="muted">+{formatNumber(groups.length - GROUPS_SHOWN)}</span>}
    </nav>
  );
}
