/** Routes of policies and bindings. A caller that manages anything may read them; a change stays within its own rights. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, principalOf } from "#http";
import { PolicyName } from "#authorization/api";
import type { Access } from "./access.ts";
import { Binding, BindingBody, BindingList, BindingSubject, PolicyBody, PolicyList, PolicySummary } from "./api.ts";
import { ChangeConditions, expectedRevision } from "./request-conditions.ts";

const tags = ["access"];
/** The names in a body are what others get, so they are compared with the rights of the caller in the handler. */
const manage = { action: "access:manage", about: "nothing" } as const;

export function policiesPlugin(untyped: FastifyInstance, access: Access): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const params = Type.Object({ name: PolicyName });
  app.get(
    "/v1/policies",
    {
      config: manage,
      schema: {
        tags,
        summary: "Policies, built-in ones first, and where they are used",
        response: { 200: PolicyList },
      },
    },
    () => ({ policies: access.policies.list() }),
  );
  app.get(
    "/v1/policies/:name",
    { config: manage, schema: { tags, summary: "Read a policy", params, response: { 200: PolicySummary } } },
    (request, reply) => {
      const policy = access.policies.read(request.params.name);
      if (policy.revision !== undefined) void reply.header("etag", `"${policy.revision}"`);
      return policy;
    },
  );
  app.put(
    "/v1/policies/:name",
    {
      config: manage,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Create or replace a policy; everyone who has it gets its rights at once",
        params,
        headers: ChangeConditions,
        body: PolicyBody,
        response: { 200: PolicySummary },
      },
    },
    async (request, reply) => {
      const change = { by: principalOf(request), ifRevision: expectedRevision(request.headers) };
      const policy = await access.policies.set(request.params.name, request.body, change);
      return reply.header("etag", `"${policy.revision}"`).send(policy);
    },
  );
  app.delete(
    "/v1/policies/:name",
    {
      config: manage,
      schema: {
        tags,
        summary: "Delete a policy without users",
        params,
        headers: ChangeConditions,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const change = { by: principalOf(request), ifRevision: expectedRevision(request.headers) };
      await access.policies.remove(request.params.name, change);
      return reply.code(204).send(null);
    },
  );
}

export function bindingsPlugin(untyped: FastifyInstance, access: Access): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const params = Type.Object({ subject: BindingSubject });
  app.get(
    "/v1/bindings",
    {
      config: manage,
      schema: {
        tags,
        summary: "Which policies people have who sign in by OpenID Connect",
        response: { 200: BindingList },
      },
    },
    () => ({ bindings: access.bindings.list() }),
  );
  app.put(
    "/v1/bindings/:subject",
    {
      config: manage,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Set the policies of a person or a group",
        params,
        headers: ChangeConditions,
        body: BindingBody,
        response: { 200: Binding },
      },
    },
    async (request, reply) => {
      const change = { by: principalOf(request), ifRevision: expectedRevision(request.headers) };
      const binding = await access.bindings.set(request.params.subject, request.body, change);
      return reply.header("etag", `"${binding.revision}"`).send(binding);
    },
  );
  app.delete(
    "/v1/bindings/:subject",
    {
      config: manage,
      schema: {
        tags,
        summary: "Delete a binding; people without another one are signed out at once",
        params,
        headers: ChangeConditions,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const change = { by: principalOf(request), ifRevision: expectedRevision(request.headers) };
      await access.bindings.remove(request.params.subject, change);
      return reply.code(204).send(null);
    },
  );
}
