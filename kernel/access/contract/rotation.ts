/** Rotation of a token with overlap, and when a token was last used. */
import { Type, type Static } from "typebox";

/** Longest time for which the previous secret stays valid: a week, for a fleet that is updated by hand. Seconds. */
export const OVERLAP_SECONDS_MAX = 604_800;
/** Time for which the previous secret stays valid, unless the request says otherwise: an hour. Seconds. */
export const OVERLAP_SECONDS = 3_600;

export const TokenRotation = Type.Object(
  {
    overlapSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: OVERLAP_SECONDS_MAX,
        default: OVERLAP_SECONDS,
        description: "How long the previous secret stays valid. 0: not at all.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type TokenRotation = Static<typeof TokenRotation>;

/** Facts about the life of a token, each present where it applies. */
export const tokenLife = {
  rotatedAt: Type.Optional(Type.String({ format: "date-time", description: "When its secret was last replaced." })),
  previousUntil: Type.Optional(
    Type.String({ format: "date-time", description: "End of the previous secret, while that is still valid." }),
  ),
  lastUsedAt: Type.Optional(Type.String({ format: "date-time", description: "To the minute. Absent: never used." })),
  lastUsedFrom: Type.Optional(Type.String({ description: "Address of the last use." })),
};
