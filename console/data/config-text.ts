/** One key of a config set as a text that is written on a page of its own: its released text, and the text that is being written. */
import { signal, type Signal } from "@preact/signals";
import type { EffectiveConfig, Items, Release, ReleaseList } from "#config-server/api";
import { ApiProblem, readApi } from "./api.ts";

export interface ConfigSource {
  /** The live version of the set; 0: nothing is released. */
  readonly version: number;
  readonly items: Items;
  readonly text: string;
  readonly isSecret: boolean;
  /** Whether placeholders in the text are filled in. */
  readonly isExpanded: boolean;
}

const NOTHING: ConfigSource = { version: 0, items: {}, text: "", isSecret: false, isExpanded: false };

/** A reader of the released text of a key; its path is that of the set. */
export function configTextReader(key: string) {
  return async (path: string, abort: AbortSignal): Promise<ConfigSource> => {
    const version = await liveVersion(path, abort);
    if (version === undefined) return NOTHING;
    const { items } = await readApi<Release>(`${path}/releases/${version}`, abort);
    const item = items[key];
    return {
      version,
      items,
      text: item?.value ?? "",
      isSecret: item?.secret === true,
      isExpanded: item?.expand === true,
    };
  };
}

/** The release that a subscriber outside of every stage of a rollout runs. */
async function liveVersion(path: string, abort: AbortSignal): Promise<number | undefined> {
  let effective: EffectiveConfig;
  try {
    effective = await readApi<EffectiveConfig>(path, abort);
  } catch (error) {
    if (error instanceof ApiProblem && error.code === "CONFIG_SET_NOT_FOUND") return undefined;
    throw error;
  }
  const own = Object.values(effective.items).find(
    ({ origin }) => origin.app === undefined && origin.profile === "default",
  );
  if (own) return own.origin.version;
  // All values are shared by other sets, or there are none.
  const { releases } = await readApi<ReleaseList>(`${path}/releases?limit=1`, abort);
  return releases[0]?.version;
}

/** A text that is not released. It stays while the reader looks at other pages. */
export interface TextDraft {
  readonly namespace: string;
  readonly text: string;
  /** The released text from which it was made. */
  readonly base: Pick<ConfigSource, "version" | "text">;
}

export class TextDrafts {
  readonly current: Signal<TextDraft | undefined> = signal(undefined);

  constructor() {
    // A reload would lose the text.
    addEventListener("beforeunload", (event) => {
      const draft = this.current.peek();
      if (draft && draft.text !== draft.base.text) event.preventDefault();
    });
  }

  /** The draft of a namespace, if it differs from its base. */
  of(namespace: string): TextDraft | undefined {
    const draft = this.current.value;
    return draft?.namespace === namespace && draft.text !== draft.base.text ? draft : undefined;
  }

  change(namespace: string, text: string, { version, text: released }: ConfigSource): void {
    this.current.value = { namespace, text, base: this.of(namespace)?.base ?? { version, text: released } };
  }
}
