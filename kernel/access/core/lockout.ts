/**
 * Which tokens keep the door open: those that do not expire, have no limits, and may manage access to everything. A change after which no
 * such token exists would leave only the way through the machine of the server. Pure.
 */
import { actionsOfRule, type Policy } from "#authorization";

export interface DoorToken {
  readonly policies: readonly string[];
  readonly expiresAtMs?: number | undefined;
  readonly isLimited: boolean;
}

/** Whether a token can always manage access, whatever happens elsewhere. `policy`: the policies of the control plane. */
export function keepsDoor(
  { policies, expiresAtMs, isLimited }: DoorToken,
  policy: (name: string) => Policy | undefined,
): boolean {
  if (expiresAtMs !== undefined || isLimited) return false;
  const rules = policies
    .flatMap((name) => policy(name)?.rules ?? [])
    .filter((rule) => actionsOfRule(rule).includes("access:manage"));
  return rules.some(({ effect }) => effect === "allow") && rules.every(({ effect }) => effect === "allow");
}
