/** A refused request, as operators see it. */
import { Type, type Static } from "typebox";
import { ACTION_NAMES } from "./actions.ts";

export const Denial = Type.Object({
  at: Type.String({ format: "date-time" }),
  principal: Type.Optional(
    Type.Object(
      {
        id: Type.String(),
        name: Type.String(),
        kind: Type.Enum(["internal", "local", "token", "certificate", "person"]),
      },
      { description: "The caller. Absent: it did not prove who it is." },
    ),
  ),
  address: Type.String({ description: "Address of the caller." }),
  action: Type.Optional(Type.Enum([...ACTION_NAMES], { description: "The action that it lacks." })),
  resource: Type.Optional(Type.Record(Type.String(), Type.String())),
  method: Type.String(),
  route: Type.String({ description: "Template of the path." }),
  status: Type.Integer(),
  code: Type.Optional(Type.String({ description: "Code of the problem that it received." })),
  rule: Type.Optional(
    Type.Object(
      { policy: Type.String(), index: Type.Integer({ minimum: 1, description: "Number of the rule, from 1." }) },
      { description: "The rule that denies it. Absent: no rule allows it." },
    ),
  ),
  requestId: Type.String(),
  traceId: Type.Optional(Type.String()),
});
export type Denial = Static<typeof Denial>;

export const DenialList = Type.Object({
  denials: Type.Array(Denial, { description: "Newest first, of this member, since it started." }),
});
export type DenialList = Static<typeof DenialList>;
