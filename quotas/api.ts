/** The wire contract of quotas: limits that many processes share, granted in leases of a few requests each. */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

/** Limits in one request: each takes two operations of a transaction. */
export const QUOTA_ASKS_MAX = 32;
/** Milliseconds that a lease of a rate is valid. With a longer time, unused parts of a lease are missing elsewhere. */
export const QUOTA_LEASE_MS = 2_000;
/** Characters of a limit's key. */
export const QUOTA_KEY_CHARS_MAX = 1_024;

const Count = Type.Integer({ minimum: 0, maximum: 1_000_000_000 });

/** A limit, and the number of requests wanted from it. */
export const QuotaAsk = Type.Object(
  {
    key: Type.String({
      minLength: 1,
      maxLength: QUOTA_KEY_CHARS_MAX,
      description: "Requests with equal keys share one limit.",
    }),
    requests: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }),
    per: Type.Union([Type.Number({ minimum: 0.001, maximum: 86_400 }), Type.Literal("day"), Type.Literal("month")], {
      description: "The period of a rate in seconds; or a calendar day or month in UTC.",
    }),
    burst: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000_000, description: "Largest burst of a rate. Default: requests." }),
    ),
    want: Count,
    waiting: Type.Optional({
      ...Count,
      description:
        "How many of the wanted requests are already waiting. These may take all that is left, and others half of it.",
    }),
    spent: Type.Optional({
      ...Count,
      description: "Requests that were let through without a lease and still have to be counted.",
    }),
    agoMs: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 10_000_000_000,
        description: "Milliseconds since the first spent or waiting request arrived. A rate counts from that time.",
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
  granted: Type.Integer({ minimum: 0, description: "Requests granted, at most the number wanted." }),
  remaining: Type.Integer({
    minimum: 0,
    description: "Requests left of the limit, for all gateways together, after this lease.",
  }),
  resetMs: Type.Number({ minimum: 0, description: "Milliseconds until the whole limit is available again." }),
  validMs: Type.Number({ minimum: 0, description: "Milliseconds that the lease is valid." }),
});
export type QuotaLease = Static<typeof QuotaLease>;

export const QuotaAnswer = Type.Object({ leases: Type.Array(QuotaLease) }, { $id: "QuotaAnswer" });
export type QuotaAnswer = Static<typeof QuotaAnswer>;

export const QuotasErrors = defineErrors("QUOTAS", {
  DUPLICATE: { status: 400, title: "Limit requested twice" },
});
