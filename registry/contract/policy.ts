/**
 * The part of the registry's wire contract that is about a service as a whole: what its instances take when they do not
 * say, when too few of them are healthy, who stands in for it, and what a gateway may do by itself.
 */
import { Type, type Static } from "typebox";
import { Check, CHECKS_PER_INSTANCE_MAX } from "./checks.ts";

const NAME = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
/** A DNS label, since names become host names. */
export const Name = Type.String({ pattern: NAME, description: "A DNS label: a-z, 0-9 and -, at most 63." });
export const Namespace = Type.String({ pattern: NAME, default: "default", description: "A DNS label." });

/** Characters of a filter expression: some ten comparisons. */
export const FILTER_CHARS_MAX = 1024;
export const Filter = Type.String({
  minLength: 1,
  maxLength: FILTER_CHARS_MAX,
  description: 'Such as `"v2" in tags and metadata.tier == "gold" and not (zone startswith "eu-")`.',
});

/** Subsets of a service: each is looked through for every reader that names one. */
const SUBSETS_MAX = 32;
const PATH_PREFIXES_MAX = 64;
/** Percent of healthy instances below which a service is said to be in panic, when its policy does not say. */
export const MIN_HEALTHY_PERCENT = 50;

export const ServiceRef = Type.Object(
  { namespace: Type.Optional(Namespace), service: Name },
  { additionalProperties: false },
);
export type ServiceRef = Static<typeof ServiceRef>;

export const ServicePolicy = Type.Object(
  {
    checks: Type.Optional(
      Type.Array(Check, {
        maxItems: CHECKS_PER_INSTANCE_MAX,
        description: "Of instances that the servers probe and that state none themselves. Taken at registration.",
      }),
    ),
    minHealthyPercent: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 100,
        default: MIN_HEALTHY_PERCENT,
        description: "With fewer of the serving instances healthy, answers carry `panic`. 0: never.",
      }),
    ),
    fallback: Type.Optional(
      Type.Unsafe<ServiceRef>({ ...ServiceRef, description: "Asked for instead when too few are healthy (failover)." }),
    ),
    subsets: Type.Optional(
      Type.Record(Name, Filter, { maxProperties: SUBSETS_MAX, description: "Named filters, such as one per version." }),
    ),
    gateway: Type.Optional(
      Type.Object(
        {
          pathPrefixes: Type.Optional(
            Type.Array(Type.String({ pattern: "^/", maxLength: 1024 }), { maxItems: PATH_PREFIXES_MAX }),
          ),
          keepAliveSeconds: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 3600,
              description:
                "How long its instances keep an idle connection open, where they do not say so themselves by `keep-alive-ms`.",
            }),
          ),
        },
        { additionalProperties: false, description: "Hints that a gateway may use; it need not." },
      ),
    ),
  },
  { additionalProperties: false },
);
export type ServicePolicy = Static<typeof ServicePolicy>;
