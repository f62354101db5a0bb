/** The route with which a member reports about itself and its store. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import type { Sessions } from "#access";
import { AppError, type Host } from "#base";
import type { Members } from "#registry";
import type { Store } from "#store";
import { SystemReport } from "../api.ts";
import type { ServedCertificate } from "../certificates.ts";
import { VERSION } from "../version.ts";

interface SystemParts {
  readonly members: Members;
  readonly sessions: Sessions;
  readonly store: Store;
  readonly certificates?: () => readonly ServedCertificate[];
}

export function systemPlugin(untyped: FastifyInstance, host: Host, parts: SystemParts): void {
  const { members, sessions, store, certificates = () => [] } = parts;
  const startedAt = new Date(host.clock.now()).toISOString();
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/system",
    {
      config: { action: "operations:read", about: "nothing" },
      schema: {
        tags: ["operations"],
        summary: "The member that answers: version, store, certificates",
        response: { 200: SystemReport },
      },
    },
    async () => {
      const status = await statusOf(store);
      return {
        version: VERSION,
        node: process.versions.node,
        member: members.id,
        startedAt,
        memoryBytes: process.memoryUsage.rss(),
        ...(status === undefined ? {} : { store: status }),
        sessions: sessions.size,
        certificates: certificates().map(({ name, expiresAtMs, renewsBeforeMs }) => ({
          name,
          expiresAt: new Date(expiresAtMs).toISOString(),
          ...(renewsBeforeMs === undefined ? {} : { lateAt: new Date(expiresAtMs - renewsBeforeMs).toISOString() }),
        })),
      };
    },
  );
}

/** Undefined while the store does not answer: the rest of the report is of use then most of all. */
async function statusOf(store: Store) {
  try {
    return await store.status();
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}
