/**
 * The part of the registry's wire contract that is about a service as a whole: the default checks of its instances, the
 * share that must be healthy, its fallback and subsets, and hints for gateways.
 */
import { Type, type Static } from "typebox";
import { Check, CHECKS_PER_INSTANCE_MAX } from "./checks.ts";

const NAME = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
/** A DNS label, since names become host names. */
export const Name = Type.String({ pattern: NAME, description: "A DNS label: a-z, 0-9 and -, at most 63." });
export const Namespace = Type.String({ pattern: NAME, default: "default", description: "A DNS label." });

/** Characters of a filter expression: about ten comparisons. */
export const FILTER_CHARS_MAX = 1024;
export const Filter = Type.String({
  minLength: 1,
  maxLength: FILTER_CHARS_MAX,
  description: 'An expression such as `"v2" in tags and metadata.tier == "gold" and not (zone startswith "eu-")`.',
});

/** Subsets of a service: each reader that names one evaluates its filter for every instance. */
const SUBSETS_MAX = 32;
const PATH_PREFIXES_MAX = 64;
/** Default percentage of healthy instances below which a service is in panic. */
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
        description:
          "Checks of instances that the servers probe and that state no checks themselves. They are applied at registration.",
      }),
    ),
    minHealthyPercent: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 100,
        default: MIN_HEALTHY_PERCENT,
        description:
          "Percentage of the serving instances that must be healthy. Below it, responses have `panic` set. 0: never.",
      }),
    ),
    fallback: Type.Optional(
      Type.Unsafe<ServiceRef>({
        ...ServiceRef,
        description: "The service whose instances are returned by failover, when too few of this one are healthy.",
      }),
    ),
    subsets: Type.Optional(
      Type.Record(Name, Filter, {
        maxProperties: SUBSETS_MAX,
        description: "Filters by name, for example one per version.",
      }),
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
                "Seconds that its instances keep an idle connection open, unless an instance states its own `keep-alive-ms`.",
            }),
          ),
        },
        { additionalProperties: false, description: "Hints for gateways, which may ignore them." },
      ),
    ),
  },
  { additionalProperties: false },
);
export type ServicePolicy = Static<typeof ServicePolicy>;
