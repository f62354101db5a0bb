/** Loads what an edit of one key begins with: the reader's draft, else the live value, else the value that it inherits. */
import { useRef } from "preact/hooks";
import type { EffectiveConfig, Item, Release } from "#config-server/api";
import { Problem, Skeleton } from "../../../components/states.tsx";
import { useResource } from "../../../data/resource.ts";
import { formatOfKey, setPathOf } from "../core/names.ts";
import { originOf } from "../core/origin.ts";
import { principalName, useDrafts } from "../use-drafts.ts";
import { type ConfigSet, isAbsent } from "../use-set.ts";
import { KeyEditor, type EditBase } from "./key-editor.tsx";

interface EditKeyProps {
  readonly set: ConfigSet;
  readonly name: string;
}

export function EditKey({ set, name }: EditKeyProps) {
  const drafts = useDrafts(set);
  const draft = drafts.data?.drafts.find(({ key, author }) => key === name && author === principalName());
  const version = draft?.baseVersion ?? set.live?.version ?? 0;
  const isLive = version === (set.live?.version ?? 0);
  const base = useResource<Release>(
    drafts.data && !isLive && version > 0 ? `${set.path}/releases/${version}` : undefined,
  );
  const inherited = useInherited(set, name);
  // An edit goes on from where it began, whatever is released meanwhile.
  const begun = useRef<EditBase | undefined>(undefined);
  if (begun.current) return <KeyEditor set={set} name={name} start={begun.current} />;
  const problem = drafts.problem ?? base.problem;
  if (problem) return <Problem problem={problem} onRetry={() => void drafts.reload()} />;
  const isReady = drafts.data && (isLive || version === 0 || base.data) && !inherited.isLoading;
  if (!isReady) return <Skeleton />;
  const items = isLive ? set.live?.items : base.data?.items;
  begun.current = {
    version,
    item: items?.[name],
    draft,
    // A removal that was drafted starts again from the live value.
    first: draft?.item ?? items?.[name] ?? inherited.item ?? emptyItem(name),
  };
  return <KeyEditor set={set} name={name} start={begun.current} />;
}

function emptyItem(name: string): Item {
  return { format: formatOfKey(name), value: "" };
}

/** The value as it is written in the lower layer, with its placeholders. */
function useInherited(set: ConfigSet, name: string): { readonly item: Item | undefined; readonly isLoading: boolean } {
  const effective: EffectiveConfig | undefined = set.effective.data;
  const found = effective?.items[name];
  const origin = found && originOf(set.name, found);
  const isElsewhere = origin !== undefined && origin.kind !== "own" && !set.live?.items[name];
  const release = useResource<Release>(isElsewhere ? `${setPathOf(origin.set)}/releases/${origin.version}` : undefined);
  const isUnknown = !effective && !isAbsent(set.effective.problem) && set.effective.problem === undefined;
  const item = release.data?.items[name];
  // A secret of another set cannot be copied.
  return {
    item: item?.secret ? { ...item, value: "" } : item,
    isLoading: isUnknown || (isElsewhere && release.isLoading),
  };
}
