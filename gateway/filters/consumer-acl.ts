/** Admits consumers by name or group. A caller that is not a consumer is in no list, and is therefore rejected. */
import { Type, type Static } from "typebox";
import type { CompiledConsumer } from "../core/callers/consumers.ts";
import type { Filter } from "../core/request/filter.ts";

const names = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { minItems: 1, maxItems: 1024, description }));
const List = Type.Object(
  {
    consumers: names("Names of consumers of the config."),
    groups: names("All consumers in one of these groups."),
  },
  { additionalProperties: false, minProperties: 1 },
);
const Config = Type.Object(
  {
    allow: Type.Optional({ ...List, description: "Consumers that are admitted." }),
    deny: Type.Optional({ ...List, description: "Consumers that are rejected." }),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    description: "deny is checked first. Without allow, all other consumers are admitted.",
  },
);

export const consumerAcl: Filter = {
  name: "consumer-acl",
  description: "Admits consumers by name or group.",
  phase: "authorise",
  schema: Config,
  *problems(config: Static<typeof Config>, { consumers, identifies }) {
    if (!identifies) {
      yield {
        pointer: "",
        message: "This route does not identify consumers, so every caller would be rejected. Add jwt or key-auth.",
      };
    }
    for (const list of ["allow", "deny"] as const) {
      for (const [at, name] of (config[list]?.consumers ?? []).entries()) {
        if (!consumers.has(name))
          yield { pointer: `/${list}/consumers/${at}`, message: `Unknown consumer "${name}". Add it to consumers.` };
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
        return { kind: "refuse", error: "ACCESS_DENIED", detail: `Route "${route}" does not admit this consumer.` };
      },
    };
  },
};
