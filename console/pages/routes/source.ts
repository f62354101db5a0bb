/** The released text of gateway.yaml, and the text that is being written. */
import { type ConfigSource, configTextReader, type TextDraft, TextDrafts } from "../../data/config-text.ts";
import { useNamespace } from "../../data/location.ts";
import { type Resource, useResource } from "../../data/resource.ts";
import { GATEWAY_KEY, gatewayPath, gatewaySet } from "./data.ts";

export type GatewaySource = ConfigSource;

const readSource = configTextReader(GATEWAY_KEY);
const drafts = new TextDrafts();

export const routeDraft = drafts.current;

export function useGatewaySource(): Resource<GatewaySource> {
  const [namespace] = useNamespace();
  return useResource<GatewaySource>(gatewayPath(namespace), [`config:${gatewaySet(namespace)}`], readSource);
}

export function draftOf(namespace: string): TextDraft | undefined {
  return drafts.of(namespace);
}

export function changeDraft(namespace: string, text: string, source: GatewaySource): void {
  drafts.change(namespace, text, source);
}
