/** Admits or rejects clients by address. Behind trusted proxies this is the address that they report. */
import { Type, type Static } from "typebox";
import { CidrSet } from "../core/request/cidr-set.ts";
import type { Filter } from "../core/request/filter.ts";

const networks = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 2, maxLength: 64 }), { minItems: 1, maxItems: 1024, description }));
const Config = Type.Object(
  {
    allow: networks("CIDRs or addresses that are admitted: 10.0.0.0/8, 2001:db8::1."),
    deny: networks("CIDRs or addresses that are rejected."),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    description: "deny is checked first. With allow, all other addresses are rejected.",
  },
);

export const ipRestriction: Filter = {
  name: "ip-restriction",
  description: "Admits or rejects clients by their network.",
  phase: "connection",
  schema: Config,
  build({ allow, deny }: Static<typeof Config>) {
    const allowed = allow && new CidrSet(allow);
    const denied = deny && new CidrSet(deny);
    return {
      request({ head }) {
        if (!denied?.has(head.client) && (allowed?.has(head.client) ?? true)) return undefined;
        return { kind: "refuse", error: "ADDRESS_DENIED", detail: "This address is not allowed here." };
      },
    };
  },
};
