/**
 * Errors that prevent a server from starting or running, each detail with the setting and what to do, and the shape of a member's report.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

export const ServerErrors = defineErrors("SERVER", {
  PORT_IN_USE: { status: 500, title: "Port in use" },
  ADDRESS_UNAVAILABLE: { status: 500, title: "Address not available" },
  SETTINGS_CONFLICT: { status: 400, title: "Conflicting settings" },
  PLAINTEXT: { status: 400, title: "Would cross the network without TLS" },
  NO_CERTIFICATE: { status: 400, title: "No certificate for TLS" },
  START_TIMEOUT: { status: 503, title: "Not ready in time" },
});

/** A member of the control plane about itself and its store. */
export const SystemReport = Type.Object({
  version: Type.String(),
  node: Type.String({ description: "Version of Node." }),
  member: Type.String({ description: "Id of the member that answered." }),
  startedAt: Type.String({ format: "date-time" }),
  memoryBytes: Type.Integer({ description: "Resident memory of its process." }),
  store: Type.Optional(
    Type.Object(
      {
        engine: Type.Union([Type.Literal("memory"), Type.Literal("lmdb"), Type.Literal("etcd")]),
        revision: Type.Integer(),
        compactedRevision: Type.Integer({ description: "Watches resume after this revision." }),
        sizeBytes: Type.Optional(Type.Integer({ description: "Bytes on disk. Absent: the engine does not know." })),
      },
      { description: "Absent: the store does not answer." },
    ),
  ),
  sessions: Type.Integer({ description: "Open sessions of agents and holders of locks." }),
  certificates: Type.Array(
    Type.Object({
      name: Type.String(),
      expiresAt: Type.String({ format: "date-time" }),
      lateAt: Type.Optional(
        Type.String({
          format: "date-time",
          description: "It renews itself, and should have done so by then. Absent: it does not.",
        }),
      ),
    }),
    { description: "Certificates that this process serves." },
  ),
});
export type SystemReport = Static<typeof SystemReport>;
