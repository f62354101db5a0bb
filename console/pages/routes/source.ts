/** The released text of gateway.yaml, and the text that is being written. */
import { signal } from "@preact/signals";
import type { EffectiveConfig, Items, Release, ReleaseList } from "#config-server/api";
import { ApiProblem, readApi } from "../../data/api.ts";
import { useNamespace } from "../../data/location.ts";
import { type Resource, useResource } from "../../data/resource.ts";
import { GATEWAY_KEY, gatewayPath, gatewaySet } from "./data.ts";

export interface GatewaySource {
  /** The live version of the set; 0: nothing is released. */
  readonly version: number;
  readonly items: Items;
  readonly text: string;
  readonly isSecret: boolean;
  /** Whether placeholders in the text are filled in. */
  readonly isExpanded: boolean;
}

const NOTHING: GatewaySource = { version: 0, items: {}, text: "", isSecret: false, isExpanded: false };

async function readSource(path: string, abort: AbortSignal): Promise<GatewaySource> {
  const version = await liveVersion(path, abort);
  if (version === undefined) return NOTHING;
  const { items } = await readApi<Release>(`${path}/releases/${version}`, abort);
  const item = items[GATEWAY_KEY];
  return {
    version,
    items,
    text: item?.value ?? "",
    isSecret: item?.secret === true,
    isExpanded: item?.expand === true,
  };
}

/** The release that a gateway outside of every stage of a rollout runs. */
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

export function useGatewaySource(): Resource<GatewaySource> {
  const [namespace] = useNamespace();
  return useResource<GatewaySource>(gatewayPath(namespace), [`config:${gatewaySet(namespace)}`], readSource);
}

/** A text that is not released. It stays while the reader looks at other pages. */
export interface RouteDraft {
  readonly namespace: string;
  readonly text: string;
  /** The released text from which it was made. */
  readonly base: Pick<GatewaySource, "version" | "text">;
}

export const routeDraft = signal<RouteDraft | undefined>(undefined);

/** The draft of a namespace, if it differs from its base. */
export function draftOf(namespace: string): RouteDraft | undefined {
  const draft = routeDraft.value;
  return draft?.namespace === namespace && draft.text !== draft.base.text ? draft : undefined;
}

export function changeDraft(namespace: string, text: string, source: GatewaySource): void {
  const known = draftOf(namespace);
  const { version, text: released } = source;
  routeDraft.value = { namespace, text, base: known?.base ?? { version, text: released } };
}

// A reload would lose the text.
addEventListener("beforeunload", (event) => {
  const draft = routeDraft.peek();
  if (draft && draft.text !== draft.base.text) event.preventDefault();
});
