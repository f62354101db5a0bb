/** Another release came while a key was edited: what it changed, and how to go on. */
import { GitMerge } from "lucide";
import type { Signal } from "@preact/signals";
import type { Item, Release } from "#config-server/api";
import { Button } from "../../../components/button.tsx";
import { DiffView } from "../../../components/diff-view.tsx";
import { isChangedSince } from "../core/changes.ts";
import { mergeLines } from "../core/merge-lines.ts";
import { MASK } from "../core/names.ts";
import { setText } from "../set-text.ts";
import type { ConfigSet } from "../use-set.ts";
import type { EditBase } from "./key-editor.tsx";

type Base = Pick<EditBase, "version" | "item">;

interface ConflictNoticeProps {
  readonly set: ConfigSet;
  readonly name: string;
  readonly base: Signal<Base>;
  readonly item: Signal<Item>;
}

export function ConflictNotice({ set, name, base, item }: ConflictNoticeProps) {
  const text = setText();
  const { live } = set;
  const was = base.value;
  if (!live || live.version === was.version) return null;
  const now: Item | undefined = live.items[name];
  const isSame = isChangedSince(name, was.item && { [name]: was.item }, live.items);
  const go = (next: Item) => {
    item.value = next;
    base.value = { version: live.version, item: now };
  };
  return (
    <section class="config-conflict" role="alert">
      <p>
        <strong>{text.conflict(live.version)}</strong> {releaseWords(live)}
      </p>
      {isSame ? (
        <Overlap was={was} now={now} mine={item.value} version={live.version} onGo={go} />
      ) : (
        <>
          <p>{text.conflictOther}</p>
          <div class="actions">
            <Button isSmall kind="primary" icon={GitMerge} onClick={() => go(item.value)}>
              {text.rebase(live.version)}
            </Button>
          </div>
        </>
      )}
    </section>
  );
}

function releaseWords({ author, reason }: Release): string {
  return reason === "" ? author : `${author}: ${reason}`;
}

interface OverlapProps {
  readonly was: Base;
  readonly now: Item | undefined;
  readonly mine: Item;
  readonly version: number;
  readonly onGo: (item: Item) => void;
}

function Overlap({ was, now, mine, version, onGo }: OverlapProps) {
  const text = setText();
  const isHidden = [was.item, now, mine].some((item) => item?.value === MASK || item?.format === "binary");
  const [base, theirs] = [was.item?.value ?? "", now?.value ?? ""];
  const merged = isHidden ? undefined : mergeLines(base, mine.value, theirs);
  const labels = [text.versionSide(was.version), text.versionSide(version)] as const;
  return (
    <>
      <p>{text.conflictSame}</p>
      {!isHidden && <DiffView before={base} after={theirs} format={mine.format} labels={labels} />}
      <p>{merged === undefined ? text.overlapping : text.merged}</p>
      {merged !== undefined && (
        <DiffView before={theirs} after={merged} format={mine.format} labels={[labels[1], text.mine]} />
      )}
      <div class="actions">
        {merged !== undefined && (
          <Button isSmall kind="primary" icon={GitMerge} onClick={() => onGo({ ...mine, value: merged })}>
            {text.takeMerged}
          </Button>
        )}
        <Button isSmall onClick={() => onGo(mine)}>
          {text.keepMine}
        </Button>
        {now && (
          <Button isSmall onClick={() => onGo(now)}>
            {text.takeLive}
          </Button>
        )}
      </div>
    </>
  );
}
