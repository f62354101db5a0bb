/**
 * The safety net under a watch of a config: now and then its follower compares what it knows with the server's, and finds what
 * the watch lost.
 */
import type { Random } from "#base";
import { ConfigErrors, type EffectiveConfig, type SetName } from "#config-server/api";
import type { CallOptions } from "../calls/caller.ts";
import type { ConfigCalls, Instance } from "../calls/config.ts";

/** Milliseconds between two audits, plus or minus a fifth, so that followers do not ask all at once. As in Apollo's clients. */
export const AUDIT_MS = 300_000;
const AUDIT_JITTER = 0.2;

export function auditPauseMs(random: Random): number {
  return AUDIT_MS * (1 + AUDIT_JITTER * (2 * random.float() - 1));
}

/**
 * The server's effective config when it is not the one that `releaseKey` names; an empty one, of revision 0, when nothing is
 * released. Undefined: it is the same.
 * @throws what the call throws, except CONFIG_SET_NOT_FOUND
 */
export async function configOtherThan(
  client: Pick<ConfigCalls, "effectiveOtherThan">,
  name: SetName,
  releaseKey: string,
  options: CallOptions & { readonly instance: Instance },
): Promise<EffectiveConfig | undefined> {
  try {
    return await client.effectiveOtherThan(name, releaseKey, options);
  } catch (error) {
    if (!ConfigErrors.SET_NOT_FOUND.is(error)) throw error;
    return { ...name, releaseKey: "", revision: 0, items: {} };
  }
}
