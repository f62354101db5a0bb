/** The routes of locks. They translate requests and decide nothing. */
import type { FastifyInstance } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import {
  BODY_BYTES,
  IF_NONE_MATCH_CHARS_MAX,
  parseIfNoneMatch,
  HttpErrors,
  lastEventId,
  maySee,
  principalOf,
  requireCurrent,
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
const LockParams = Type.Object({ lock: LockName });
const namespaceOnly = { namespace: Type.Optional(LockNamespace) };
const InNamespace = Type.Object(namespaceOnly, { additionalProperties: false });
const AtRevision = Type.Optional(
  Type.Integer({ minimum: 0, description: "Wait until this revision is seen, so that a caller reads its own write." }),
);

const TAGS = ["locks"];
const READ = { action: "locks:read" } as const;
const WRITE = { action: "locks:write" } as const;

export function locksPlugin(app: FastifyInstance, locks: Locks): void {
  listRoute(app, locks);
  holdingRoutes(app, locks);
  readRoute(app, locks);
  breakRoute(app, locks);
  watchRoute(app, locks);
}

function listRoute(untyped: FastifyInstance, locks: Locks): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/locks",
    {
      config: { ...READ, perItem: true },
      schema: {
        tags: TAGS,
        summary: "List locks that are held, waited for or delayed, by name",
        querystring: Type.Object(
          {
            ...namespaceOnly,
            prefix: Type.Optional(
              Type.String({ maxLength: LOCK_NAME_CHARS_MAX, description: "Only names that start with this." }),
            ),
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
    async (request, reply) => {
      const { namespace = DEFAULT_NAMESPACE, prefix = "", after, limit = LOCK_PAGE, revision } = request.query;
      const principal = principalOf(request);
      await ready(locks, revision);
      const sees = (lock: string) => maySee(principal, READ.action, { namespace, lock });
      return reply.send(locks.list({ namespace, prefix, after, limit, sees }));
    },
  );
}

function holdingRoutes(untyped: FastifyInstance, locks: Locks): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.put(
    "/v1/locks/:lock",
    {
      config: WRITE,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags: TAGS,
        summary: "Acquire a lock or wait for it; its holder can change the value",
        params: LockParams,
        querystring: InNamespace,
        body: LockRequest,
        response: { 200: LockAnswer },
      },
    },
    async ({ params, query: { namespace = DEFAULT_NAMESPACE }, body }, reply) => {
      await ready(locks, undefined);
      return locks.acquire({ name: params.lock, namespace }, body, { signal: whileConnected(reply) });
    },
  );

  app.delete(
    "/v1/locks/:lock",
    {
      config: WRITE,
      schema: {
        tags: TAGS,
        summary: "Release a lock, or leave its queue",
        params: LockParams,
        querystring: Type.Object({ ...namespaceOnly, session: LockSession }, { additionalProperties: false }),
        response: { 200: LockReleased },
      },
    },
    async ({ params, query: { namespace = DEFAULT_NAMESPACE, session } }) => {
      await ready(locks, undefined);
      return locks.release({ name: params.lock, namespace }, session);
    },
  );
}

function readRoute(untyped: FastifyInstance, locks: Locks): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/locks/:lock",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "Read a lock; a long poll with If-None-Match and wait, which may return 304",
        description:
          "The weak ETag covers holder, value and delay, but not the queue. " +
          "So clients that follow a leader are not woken when others queue.",
        params: LockParams,
        querystring: Type.Object(
          {
            ...namespaceOnly,
            wait: Type.Optional(
              Type.Number({
                minimum: 0,
                maximum: LOCK_WAIT_SECONDS_MAX,
                description: "Seconds to wait for a state other than that of If-None-Match.",
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
    async (request, reply) => {
      const { params, headers } = request;
      const { namespace = DEFAULT_NAMESPACE, wait = 0, revision } = request.query;
      await ready(locks, revision);
      const lock = { name: params.lock, namespace };
      const known = parseIfNoneMatch(headers["if-none-match"]);
      const signal = whileConnected(reply);
      const { state, tag, isKnown } = await locks.poll(lock, { known, waitMs: wait * 1000, signal });
      requireCurrent(request);
      void reply.header("etag", `W/"${tag}"`).header("cache-control", "no-cache");
      return isKnown ? reply.code(304).send(null) : reply.send(state);
    },
  );
}

function breakRoute(untyped: FastifyInstance, locks: Locks): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    "/v1/locks/:lock/break",
    {
      config: { action: "locks:break" },
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags: TAGS,
        summary: "Take a lock from its holder; the delay then runs. For operators",
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
      return reply.send(
        await locks.break({ name: request.params.lock, namespace }, { by, reason: request.body.reason }),
      );
    },
  );
}

function watchRoute(untyped: FastifyInstance, locks: Locks): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/locks/:lock/watch",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "Watch a lock by Server-Sent Events: snapshot, synced, then deltas; resumes by Last-Event-ID",
        params: LockParams,
        querystring: InNamespace,
        produces: ["text/event-stream"],
      },
    },
    async (request, reply) => {
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      await ready(locks, undefined);
      const lock = { name: request.params.lock, namespace };
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
  if (locks.revision === 0) throw HttpErrors.UNAVAILABLE("The locks are still loading. Retry shortly.");
  if (revision !== undefined) await locks.waitFor(revision);
}
