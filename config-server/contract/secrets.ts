/** Secrets in the config server's wire contract: their keys, revealed values, and the audit of who revealed them. */
import { Type, type Static } from "typebox";
import { Format, Key } from "./items.ts";

/** Records of one page of the audit. */
export const AUDIT_PAGE_MAX = 100;

export const RevealRequest = Type.Object(
  {
    key: Key,
    version: Type.Optional(Type.Integer({ minimum: 1, description: "Absent: the live version." })),
    reason: Type.String({ pattern: "\\S", maxLength: 1024, description: "Why, for the audit." }),
  },
  { additionalProperties: false },
);
export type RevealRequest = Static<typeof RevealRequest>;

export const Revealed = Type.Object({ key: Key, version: Type.Integer(), format: Format, value: Type.String() });
export type Revealed = Static<typeof Revealed>;

export const AuditRecord = Type.Object({
  id: Type.String(),
  action: Type.Literal("reveal"),
  who: Type.String({ description: "The principal that revealed the secret." }),
  at: Type.String({ format: "date-time" }),
  namespace: Type.String(),
  app: Type.String(),
  profile: Type.String(),
  version: Type.Integer(),
  key: Type.String(),
  reason: Type.String(),
});
export type AuditRecord = Static<typeof AuditRecord>;

export const AuditList = Type.Object({
  records: Type.Array(AuditRecord, { description: "Newest first." }),
  after: Type.Optional(Type.String({ description: "Pass it to read the next page." })),
});
export type AuditList = Static<typeof AuditList>;

export const SecretsStatus = Type.Object({
  source: Type.String({
    description: "Where the keys come from. Empty: none is configured, so secrets cannot be released.",
  }),
  active: Type.Optional(Type.String({ description: "The key that new values are encrypted under." })),
  keys: Type.Array(
    Type.Object({
      id: Type.String(),
      values: Type.Integer({ description: "Values of releases, drafts and proposals that are encrypted with it." }),
      here: Type.Boolean({ description: "Whether this member has the key. A key with 0 values can be removed." }),
    }),
  ),
  unreadable: Type.Array(
    Type.Object({
      namespace: Type.String(),
      app: Type.String(),
      profile: Type.String(),
      key: Type.String(),
      message: Type.String(),
    }),
    { description: "Live values that cannot be decrypted." },
  ),
  problem: Type.Optional(Type.String({ description: "Why the last attempt to read the keys failed." })),
});
export type SecretsStatus = Static<typeof SecretsStatus>;

export const Rewrapped = Type.Object({
  active: Type.String(),
  rewrapped: Type.Integer({ description: "Values that this request rewrapped with the active key." }),
  failed: Type.Integer({
    description: "Values whose key is missing here, or that were tampered with. They stay unchanged.",
  }),
});
export type Rewrapped = Static<typeof Rewrapped>;
