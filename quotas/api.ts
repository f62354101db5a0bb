/** The wire contract of quotas: limits that many processes share, handed out in leases of a few requests each. */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

/** Limits asked about in one call; two operations of a transaction each, with room. */
export const QUOTA_ASKS_MAX = 32;
/** Milliseconds that a lease of a rate may be used. Longer, and what one holder does not use is missing elsewhere. */
export const QUOTA_LEASE_MS = 2_000;
/** Characters of a limit's key. */
export const QUOTA_KEY_CHARS_MAX = 1_024;

const Count = Type.Integer({ minimum: 0, maximum: 1_000_000_000 });

/** One limit, and how much of it is wanted. */
export const QuotaAsk = Type.Object(
  {
    key: Type.String({ minLength: 1, maxLength: QUOTA_KEY_CHARS_MAX, description: "Equal keys share one limit." }),
    requests: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }),
    per: Type.Union([Type.Number({ minimum: 0.001, maximum: 86_400 }), Type.Literal("day"), Type.Literal("month")], {
      description: "Seconds of a rate; or a calendar day or month of UTC.",
    }),
    burst: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000_000, description: "Of a rate. Default: requests." }),
    ),
    want: Count,
    waiting: Type.Optional({
      ...Count,
      description: "How many of these are for requests that wait: they get all of it, where others leave half.",
    }),
    spent: Type.Optional({ ...Count, description: "Used without a lease, to be counted." }),
    agoMs: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 10_000_000_000,
        description: "How long ago the first of what is spent or waits came; a rate counts it from then.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type QuotaAsk = Static<typeof QuotaAsk>;

export const QuotaRequest = Type.Object(
  { asks: Type.Array(QuotaAsk, { minItems: 1, maxItems: QUOTA_ASKS_MAX }) },
  { additionalProperties: false, $id: "QuotaRequest" },
);
export type QuotaRequest = Static<typeof QuotaRequest>;

export const QuotaLease = Type.Object({
  key: Type.String(),
  granted: Type.Integer({ minimum: 0, description: "What may be used, up to what was wanted." }),
  remaining: Type.Integer({ minimum: 0, description: "Of the limit, for everybody, after this." }),
  resetMs: Type.Number({ minimum: 0, description: "Until all of it is there again." }),
  validMs: Type.Number({ minimum: 0, description: "How long what was granted may be used." }),
});
export type QuotaLease = Static<typeof QuotaLease>;

export const QuotaAnswer = Type.Object({ leases: Type.Array(QuotaLease) }, { $id: "QuotaAnswer" });
export type QuotaAnswer = Static<typeof QuotaAnswer>;

export const QuotasErrors = defineErrors("QUOTAS", {
  DUPLICATE: { status: 400, title: "Limit asked about twice" },
});
