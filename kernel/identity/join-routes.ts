/** Routes of join tokens, joins and nodes. A join has no token of the control API, so a bad join token counts like a bad token. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { AppError } from "#base";
import { BODY_BYTES, type BadTokens, type Principal, principalOf } from "#http";
import {
  IssuedCertificate,
  IssuedJoinToken,
  JoinRequest,
  JoinTokenList,
  JoinTokenRequest,
  NodeKind,
  NodeList,
  NodeName,
  RenewalRequest,
} from "./api.ts";
import { issuedView } from "./authority-view.ts";
import type { Joins } from "./joins.ts";

const tags = ["identity"];
/** Status of an answer to a caller that proved nothing. */
const UNPROVEN = 401;

interface JoinParts {
  readonly joins: Joins;
  readonly badTokens: BadTokens;
  /** Throws when a node would have rights that the caller lacks. */
  readonly requireNodeGrant: (by: Principal, node: JoinTokenRequest) => void;
}

export function joinRoutes(app: FastifyInstance, parts: JoinParts): void {
  tokenRoutes(app, parts);
  openRoutes(app, parts);
  nodeRoutes(app, parts.joins);
}

function tokenRoutes(untyped: FastifyInstance, { joins, requireNodeGrant }: JoinParts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const manage = { action: "identity:manage" } as const;

  app.post(
    "/v1/join-tokens",
    {
      config: manage,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Create a join token, with which one node joins once",
        body: JoinTokenRequest,
        response: { 201: IssuedJoinToken },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireNodeGrant(principal, request.body);
      const token = await joins.createToken(request.body, principal.name);
      return reply.code(201).header("cache-control", "no-store").send(token);
    },
  );

  app.get(
    "/v1/join-tokens",
    {
      config: manage,
      schema: {
        tags,
        summary: "Join tokens, without their secrets, the newest first",
        response: { 200: JoinTokenList },
      },
    },
    () => ({ joinTokens: joins.listTokens() }),
  );

  app.delete(
    "/v1/join-tokens/:id",
    {
      config: manage,
      schema: {
        tags,
        summary: "Revoke a join token. A node that joined with it stays",
        params: Type.Object({ id: Type.String({ pattern: "^[0-9a-f]{16}$" }) }),
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await joins.revokeToken(request.params.id, principalOf(request).name);
      return reply.code(204).send(null);
    },
  );
}

function openRoutes(untyped: FastifyInstance, { joins, badTokens }: JoinParts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const open = { action: "open" } as const;

  app.post(
    "/v1/joins",
    {
      config: open,
      bodyLimit: BODY_BYTES.note,
      schema: {
        tags,
        summary: "Join as a node: exchange a join token for the first certificate",
        body: JoinRequest,
        response: { 201: IssuedCertificate },
      },
    },
    async (request, reply) => {
      const issued = await counted(badTokens, request, () => joins.join(request.body));
      return reply.code(201).header("cache-control", "no-store").send(issuedView(issued));
    },
  );

  app.post(
    "/v1/renewals",
    {
      config: open,
      bodyLimit: BODY_BYTES.note,
      schema: {
        tags,
        summary: "Exchange a node's last certificate for a new one, up to a week after it ended",
        body: RenewalRequest,
        response: { 201: IssuedCertificate },
      },
    },
    async (request, reply) => {
      const issued = await counted(badTokens, request, () => joins.renew(request.body));
      return reply.code(201).header("cache-control", "no-store").send(issuedView(issued));
    },
  );
}

/** Counts what was not proven. @throws HTTP_TOO_MANY_BAD_TOKENS in its place when the address must wait */
async function counted<T>(badTokens: BadTokens, { ip }: FastifyRequest, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AppError && error.status === UNPROVEN) badTokens.refuse(ip);
    throw error;
  }
}

function nodeRoutes(untyped: FastifyInstance, joins: Joins): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/nodes",
    {
      config: { action: "identity:read" },
      schema: { tags, summary: "Nodes that joined, and what they are bound to", response: { 200: NodeList } },
    },
    () => ({ nodes: joins.nodes() }),
  );

  app.delete(
    "/v1/nodes/:kind/:name",
    {
      config: { action: "identity:manage" },
      schema: {
        tags,
        summary: "Remove a node. Its certificates are revoked at once",
        params: Type.Object({ kind: NodeKind, name: NodeName }),
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await joins.removeNode(request.params.kind, request.params.name, principalOf(request).name);
      return reply.code(204).send(null);
    },
  );
}
