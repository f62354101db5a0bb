/** The things that a caller may see: its role allows actions, and its limits allow namespaces and apps. */
import { type Action, can, type Principal, within } from "#http";
import type { Subject } from "./api.ts";

export function maySee(principal: Principal, action: Action, { namespace, app }: Omit<Subject, "type">): boolean {
  const { limits } = principal;
  if (!can(principal, action)) return false;
  if (namespace !== undefined && !within(limits?.namespaces, namespace)) return false;
  return app === undefined || within(limits?.apps, app);
}
