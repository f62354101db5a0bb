/**
 * The config server's wire contract: shapes, limits and CONFIG_ codes. Pure, so every module may import it.
 *
 * A set is named by namespace (environment), app and profile, which may have a label (`prod@blue`). Only a release changes
 * it; releases are immutable and numbered from 1. An instance of `app` with `profile` receives its effective config: for
 * each key the value of the highest layer in the order of core/resolve.ts, from shared sets up to its profile and label.
 */
import { Type, type Static } from "typebox";
import { defineErrors, own, VALUE_FORMATS } from "#base";
import { Format, Items, MASK, type SetName } from "./contract/items.ts";
import { RolloutRequest, RolloutState } from "./contract/rollout.ts";
import { Provenance } from "./contract/transfer.ts";

export * from "./contract/changes.ts";
export * from "./contract/items.ts";
export * from "./contract/reading.ts";
export * from "./contract/rollout.ts";
export * from "./contract/secrets.ts";
export * from "./contract/transfer.ts";

export const Publish = Type.Object(
  {
    items: Items,
    reason: Type.Optional(Type.String({ maxLength: 1024, default: "", description: "Why, for the history." })),
    expectedVersion: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: "Reject the release unless this is the live version. 0: nothing is released yet.",
      }),
    ),
    emergency: Type.Optional(
      Type.Literal(true, {
        description:
          "Bypasses a required review. Requires a reason, marks the release permanently, and ends a running rollout.",
      }),
    ),
    rollout: Type.Optional(RolloutRequest),
  },
  { additionalProperties: false },
);
export type Publish = Static<typeof Publish>;

/** Any other extension means text. */
const FORMAT_BY_EXTENSION: Readonly<Record<string, Format>> = Object.fromEntries(
  Object.entries(VALUE_FORMATS).flatMap(([format, { extensions }]) =>
    extensions.map((extension) => [extension, format as Format]),
  ),
);
export function formatOf(key: string): Format {
  return own(FORMAT_BY_EXTENSION, key.slice(key.lastIndexOf(".") + 1).toLowerCase()) ?? "text";
}

export const Rollback = Type.Object(
  {
    toVersion: Type.Integer({ minimum: 1 }),
    reason: Type.Optional(Type.String({ maxLength: 1024, default: "" })),
    expectedVersion: Type.Optional(Type.Integer({ minimum: 1 })),
    emergency: Type.Optional(Type.Literal(true)),
  },
  { additionalProperties: false },
);
export type Rollback = Static<typeof Rollback>;

/** A release without its content. */
export const ReleaseSummary = Type.Object({
  namespace: Type.String(),
  app: Type.String(),
  profile: Type.String(),
  version: Type.Integer({ description: "From 1, without gaps, per set." }),
  hash: Type.String({
    description: "SHA-256 of the canonical content as it is stored, with secrets encrypted, in hex.",
  }),
  author: Type.String({ description: "The principal that published it." }),
  reason: Type.String(),
  createdAt: Type.String({ format: "date-time" }),
  rollbackOf: Type.Optional(Type.Integer({ description: "The version that this content comes from." })),
  proposal: Type.Optional(Type.String({ description: "The proposal that the release was published from." })),
  approvedBy: Type.Optional(Type.Array(Type.String(), { description: "The principals that approved the proposal." })),
  promotedFrom: Type.Optional(
    Type.String({ description: "NAMESPACE/APP/PROFILE@VERSION that this content comes from." }),
  ),
  emergency: Type.Optional(Type.Literal(true, { description: "Published without a required review." })),
  source: Type.Optional(Provenance),
  rollout: Type.Optional(
    Type.Unsafe<RolloutState>({ ...RolloutState, description: "The state of the rollout that brought the release." }),
  ),
});
export type ReleaseSummary = Static<typeof ReleaseSummary>;

export const Release = Type.Object({ ...ReleaseSummary.properties, items: Items });
export type Release = Static<typeof Release>;

export const Published = Type.Object({ ...ReleaseSummary.properties, revision: Type.Integer() });
export type Published = Static<typeof Published>;

export const ReleaseList = Type.Object({
  releases: Type.Array(ReleaseSummary, { description: "Newest first." }),
  before: Type.Optional(Type.Integer({ description: "Pass it to read the next page." })),
});
export type ReleaseList = Static<typeof ReleaseList>;

export const SetSummary = Type.Object({
  namespace: Type.String(),
  app: Type.String(),
  profile: Type.String(),
  version: Type.Integer(),
  hash: Type.String(),
  rollout: Type.Optional(Type.Integer({ description: "The version that a running rollout brings." })),
});
export type SetSummary = Static<typeof SetSummary>;
export const SetList = Type.Object({ revision: Type.Integer(), sets: Type.Array(SetSummary) });
export type SetList = Static<typeof SetList>;

export const EffectiveItem = Type.Object({
  format: Format,
  value: Type.String(),
  secret: Type.Optional(
    Type.Literal(true, {
      description: `A secret, or made from one. Only tokens that run the app receive the value; all others receive ${MASK}.`,
    }),
  ),
  origin: Type.Object(
    {
      namespace: Type.Optional(Type.String({ description: "Present for a shared set. Absent: the requested one." })),
      app: Type.Optional(Type.String({ description: "Present for a shared set. Absent: the requested one." })),
      profile: Type.String(),
      version: Type.Integer(),
    },
    { description: "The release that the value comes from." },
  ),
});

/** The config of one instance. Also the data of snapshot and delta frames: always whole, never a mix of two states. */
export const EffectiveConfig = Type.Object({
  namespace: Type.String(),
  app: Type.String(),
  profile: Type.String(),
  releaseKey: Type.String({ description: "Identifies the content: equal keys mean equal content. Also the ETag." }),
  revision: Type.Integer({
    description: "Store revision of the last change of a release in it; 0 when nothing is released.",
  }),
  items: Type.Record(Type.String(), EffectiveItem),
});
export type EffectiveConfig = Static<typeof EffectiveConfig>;

/** The data of a delta frame of a watch with patches. A frame without `base` is a whole config. */
export const ConfigPatch = Type.Object({
  ...Type.Omit(EffectiveConfig, ["items"]).properties,
  base: Type.String({
    description: "The releaseKey that the patch applies to. A client with another one requests the whole config.",
  }),
  changed: EffectiveConfig.properties.items,
  removed: Type.Array(Type.String()),
});
export type ConfigPatch = Static<typeof ConfigPatch>;

/** A config, and the store revision at which a server sent it. */
export interface ConfigAt {
  readonly value: Pick<EffectiveConfig, "releaseKey" | "revision">;
  readonly revision: number;
}

/**
 * Whether a received config is older than the known one: different content, released at an earlier revision, from a store at
 * an earlier revision. Such a store was lost, restored from a backup, or belongs to a member that lags. A client keeps the
 * newer config until the store has passed its revision. Versions do not show this: an instance that leaves a rollout rightly
 * goes to a lower version, but at a higher revision.
 */
export function isOlder(known: ConfigAt, received: ConfigAt): boolean {
  return (
    received.value.releaseKey !== known.value.releaseKey &&
    received.revision < known.revision &&
    received.value.revision < known.value.revision
  );
}

export const ConfigErrors = defineErrors("CONFIG", {
  SET_NOT_FOUND: { status: 404, title: "Nothing released" },
  KEY_NOT_FOUND: { status: 404, title: "Key not found" },
  RELEASE_NOT_FOUND: { status: 404, title: "Release not found" },
  VERSION_CONFLICT: { status: 409, title: "Another release came first" },
  SUBSCRIBER_TAKEN: { status: 403, title: "Subscriber belongs to another principal" },
  SESSION_NOT_FOUND: { status: 404, title: "Session not found" },
  DRAFT_NOT_FOUND: { status: 404, title: "Draft not found" },
  DRAFT_INVALID: { status: 400, title: "Draft not valid" },
  DRAFTS_FULL: { status: 409, title: "Too many drafts or proposals" },
  PROPOSAL_NOT_FOUND: { status: 404, title: "Proposal not found" },
  PROPOSAL_CLOSED: { status: 409, title: "Proposal is not open" },
  PROPOSAL_OUTDATED: { status: 409, title: "Other releases changed the same keys" },
  NOTHING_TO_PROPOSE: { status: 409, title: "No drafts to propose" },
  REVIEW_OWN: { status: 403, title: "Own proposals cannot be reviewed" },
  REVIEW_REQUIRED: { status: 403, title: "Review required" },
  EMERGENCY_REASON: { status: 400, title: "An emergency requires a reason" },
  VALUE_INVALID: { status: 422, title: "Value not valid" },
  CHECK_TIMEOUT: { status: 422, title: "Check takes too long" },
  LIMIT_EXCEEDED: { status: 422, title: "Limit of the environment exceeded" },
  IDENTITY_INVALID: { status: 400, title: "Labels not valid" },
  ROLLOUT_INVALID: { status: 400, title: "Rollout not valid" },
  ROLLOUT_ACTIVE: { status: 409, title: "A rollout is running" },
  ROLLOUT_NOT_FOUND: { status: 404, title: "No rollout is running" },
  ROLLOUT_STATE: { status: 409, title: "The rollout is not in that state" },
  ROLLOUT_FIRST: { status: 409, title: "A first release cannot be rolled out" },
  UNRESOLVED: { status: 409, title: "Effective config cannot be built" },
  RELEASE_TOO_LARGE: { status: 413, title: "Release too large" },
  ZIP_INVALID: { status: 400, title: "Zip not usable" },
  ZIP_TOO_LARGE: { status: 413, title: "Zip too large" },
  EXPORT_TOO_LARGE: { status: 413, title: "Export too large" },
  IMPORT_INVALID: { status: 422, title: "Import not valid" },
  IMPORT_INCOMPLETE: { status: 409, title: "Import ended half-way" },
  IMPORT_BUSY: { status: 503, title: "Too many imports at once" },
  SET_OWNED: { status: 409, title: "Set follows a source" },
  SOURCE_NOT_FOUND: { status: 404, title: "Source not found" },
  SOURCE_DETACHED: { status: 409, title: "Source is detached" },
  SOURCE_UNREADABLE: { status: 422, title: "Source not readable" },
  SOURCE_UNSTABLE: { status: 409, title: "Source is being written" },
  SOURCE_INVALID: { status: 422, title: "Source not valid" },
  SECRETS_UNCONFIGURED: { status: 409, title: "No key for secrets" },
  SECRET_KEYS_INVALID: { status: 400, title: "Keys for secrets not valid" },
  SECRET_MASKED: { status: 422, title: "A mask is not a value" },
  SECRET_UNREADABLE: { status: 503, title: "Secret cannot be decrypted" },
});

/** A problem of a release, and its place. */
export interface ReleaseProblem {
  readonly key: string;
  /** JSON pointer into the value. */
  readonly pointer: string;
  readonly message: string;
  readonly line?: number;
  readonly column?: number;
}
/** A semantic check of releases, provided by the module that reads them. */
export type ReleaseCheck = (name: SetName, items: Items) => readonly ReleaseProblem[];
