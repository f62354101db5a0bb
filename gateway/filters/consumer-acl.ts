/** Who of the consumers may in, by name or by group. Whoever is no consumer is in no list, and so is not let in. */
import { Type, type Static } from "typebox";
import type { CompiledConsumer } from "../core/callers/consumers.ts";
import type { Filter } from "../core/request/filter.ts";

const names = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { minItems: 1, maxItems: 1024, description }));
const List = Type.Object(
  {
    consumers: names("By name; each must be one of the config's consumers."),
    groups: names("Whoever is in one of them."),
  },
  { additionalProperties: false, minProperties: 1 },
);
const Config = Type.Object(
  {
    allow: Type.Optional({ ...List, description: "Who may." }),
    deny: Type.Optional({ ...List, description: "Who may not." }),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    description: "deny goes before allow; without allow, all other consumers may.",
  },
);

export const consumerAcl: Filter = {
  name: "consumer-acl",
  description: "Lets consumers in by name or group.",
  phase: "authorise",
  schema: Config,
  *problems(config: Static<typeof Config>, { consumers, identifies }) {
    if (!identifies) {
      yield { pointer: "", message: "Nobody is a consumer here, so nobody gets in; give the route a jwt or key-auth." };
    }
    for (const list of ["allow", "deny"] as const) {
      for (const [at, name] of (config[list]?.consumers ?? []).entries()) {
        if (!consumers.has(name))
          yield { pointer: `/${list}/consumers/${at}`, message: `No consumer "${name}" in consumers.` };
      }
    }
  },
  build({ allow, deny }: Static<typeof Config>) {
    const isIn = (list: Static<typeof List> | undefined, { name, groups }: CompiledConsumer) =>
      list !== undefined &&
      (list.consumers?.includes(name) || list.groups?.some((group) => groups.has(group)) || false);
    return {
      request({ consumer, route }) {
        if (consumer && !isIn(deny, consumer) && (!allow || isIn(allow, consumer))) return undefined;
        return { kind: "refuse", error: "ACCESS_DENIED", detail: `Route "${route}" does not let this consumer in.` };
      },
    };
  },
};
