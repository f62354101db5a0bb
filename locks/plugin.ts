/** The routes of locks. Translates, decides nothing. */
import type { FastifyInstance } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import {
  BODY_BYTES,
  IF_NONE_MATCH_CHARS_MAX,
  parseIfNoneMatch,
  HttpErrors,
  lastEventId,
  principalOf,
  whileConnected,
} from "#http";
import {
  Lock,
  LOCK_NAME_CHARS_MAX,
  LOCK_PAGE,
  LOCK_PAGE_MAX,
  LOCK_WAIT_SECONDS_MAX,
  LockAnswer,
  LockBreak,
  LockList,
  LockName,
  LockNamespace,
  LockReleased,
  LockRequest,
  LockSession,
  LockWasBroken,
} from "./api.ts";
import { lockId } from "./core/keys.ts";
import type { Locks } from "./locks.ts";

const DEFAULT_NAMESPACE = "default";
const LockParams = Type.Object({ name: LockName });
const namespaceOnly = { namespace: Type.Optional(LockNamespace) };
const InNamespace = Type.Object(namespaceOnly, { additionalProperties: false });
const AtRevision = Type.Optional(
  Type.Integer({ minimum: 0, description: "Answer when this revision is seen: a caller reads its own write." }),
);

export function locksPlugin(untyped: FastifyInstance, locks: Locks): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "locks:read" } as const;
  const write = { action: "locks:write" } as const;
  const tags = ["locks"];

  app.get(
    "/v1/locks",
    {
      config: read,
      schema: {
        tags,
        summary: "Locks that are held, waited for or resting, by name",
        querystring: Type.Object(
          {
            ...namespaceOnly,
            prefix: Type.Optional(Type.String({ maxLength: LOCK_NAME_CHARS_MAX, description: "Of the names." })),
            after: Type.Optional(
              Type.String({ maxLength: LOCK_NAME_CHARS_MAX, description: "Only names after this one, for paging." }),
            ),
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LOCK_PAGE_MAX, default: LOCK_PAGE })),
            revision: AtRevision,
          },
          { additionalProperties: false },
        ),
        response: { 200: LockList },
      },
    },
    async ({ query: { namespace = DEFAULT_NAMESPACE, prefix = "", after, limit = LOCK_PAGE, revision } }) => {
      await ready(locks, revision);
      return locks.list({ namespace, prefix, after, limit });
    },
  );

  app.put(
    "/v1/locks/:name",
    {
      config: write,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Acquire a lock, or wait for it; by its holder: say another value",
        params: LockParams,
        querystring: InNamespace,
        body: LockRequest,
        response: { 200: LockAnswer },
      },
    },
    async ({ params, query: { namespace = DEFAULT_NAMESPACE }, body }, reply) => {
      await ready(locks, undefined);
      return locks.acquire({ ...params, namespace }, body, { signal: whileConnected(reply) });
    },
  );

  app.delete(
    "/v1/locks/:name",
    {
      config: write,
      schema: {
        tags,
        summary: "Release a lock, or leave its queue",
        params: LockParams,
        querystring: Type.Object({ ...namespaceOnly, session: LockSession }, { additionalProperties: false }),
        response: { 200: LockReleased },
      },
    },
    async ({ params, query: { namespace = DEFAULT_NAMESPACE, session } }) => {
      await ready(locks, undefined);
      return locks.release({ ...params, namespace }, session);
    },
  );

  app.get(
    "/v1/locks/:name",
    {
      config: read,
      schema: {
        tags,
        summary: "A lock; with If-None-Match and wait, a long poll that answers 304 when nothing came",
        description:
          "The weak ETag names holder, value and delay, not the queue: those that follow a leader sleep while others queue.",
        params: LockParams,
        querystring: Type.Object(
          {
            ...namespaceOnly,
            wait: Type.Optional(
              Type.Number({
                minimum: 0,
                maximum: LOCK_WAIT_SECONDS_MAX,
                description: "Seconds to wait for another state than the one of If-None-Match.",
              }),
            ),
            revision: AtRevision,
          },
          { additionalProperties: false },
        ),
        headers: Type.Object({ "if-none-match": Type.Optional(Type.String({ maxLength: IF_NONE_MATCH_CHARS_MAX })) }),
        response: { 200: Lock, 304: Type.Null() },
      },
    },
    async ({ params, query: { namespace = DEFAULT_NAMESPACE, wait = 0, revision }, headers }, reply) => {
      await ready(locks, revision);
      const lock = { ...params, namespace };
      const known = parseIfNoneMatch(headers["if-none-match"]);
      const signal = whileConnected(reply);
      const { state, tag, isKnown } = await locks.poll(lock, { known, waitMs: wait * 1000, signal });
      void reply.header("etag", `W/"${tag}"`).header("cache-control", "no-cache");
      return isKnown ? reply.code(304).send(null) : reply.send(state);
    },
  );

  app.post(
    "/v1/locks/:name/break",
    {
      config: { action: "locks:break" },
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Take a lock from its holder, for operators; its delay then runs",
        params: LockParams,
        querystring: InNamespace,
        body: LockBreak,
        response: { 200: LockWasBroken },
      },
    },
    async (request, reply) => {
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      await ready(locks, undefined);
      const by = principalOf(request).name;
      return reply.send(await locks.break({ ...request.params, namespace }, { by, reason: request.body.reason }));
    },
  );

  app.get(
    "/v1/locks/:name/watch",
    {
      config: read,
      schema: {
        tags,
        summary: "Who holds a lock, as Server-Sent Events: snapshot, synced, then deltas; resumes by Last-Event-ID",
        params: LockParams,
        querystring: InNamespace,
        produces: ["text/event-stream"],
      },
    },
    async (request, reply) => {
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      await ready(locks, undefined);
      const lock = { ...request.params, namespace };
      locks.hub.attach(reply, {
        topics: [lockId(lock)],
        after: lastEventId(request.headers),
        snapshot: () => [locks.state(lock)],
        principal: principalOf(request),
      });
      return reply;
    },
  );
}

/** @throws HTTP_UNAVAILABLE before the first listing, LOCKS_BEHIND */
async function ready(locks: Locks, revision: number | undefined): Promise<void> {
  if (locks.revision === 0) throw HttpErrors.UNAVAILABLE("The locks are still being read; try again shortly.");
  if (revision !== undefined) await locks.waitFor(revision);
}
