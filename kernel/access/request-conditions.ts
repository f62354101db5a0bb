/** Conditions of a change in its headers, as other routes take them: If-Match with a revision, or If-None-Match with `*`. */
import { Type } from "typebox";

export const ChangeConditions = Type.Object({
  "if-match": Type.Optional(
    Type.String({ pattern: '^"[0-9]{1,15}"$', description: 'Only if the revision is still this: `"42"`.' }),
  ),
  "if-none-match": Type.Optional(Type.Literal("*", { description: "Only if it does not exist." })),
});

/** 0: only if it does not exist. Undefined: whatever there is. */
export function expectedRevision(headers: { "if-match"?: string; "if-none-match"?: "*" }): number | undefined {
  if (headers["if-none-match"] !== undefined) return 0;
  const match = headers["if-match"];
  return match === undefined ? undefined : Number(match.slice(1, -1));
}
