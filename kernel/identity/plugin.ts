/** Routes of certificates and of the authority. They decide nothing. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, lastEventId, principalOf } from "#http";
import {
  AuthorityView,
  CertificateList,
  CertificateRequest,
  CertificateSummary,
  CERTIFICATES_PAGE_MAX,
  IdentityErrors,
  ImportRequest,
  IssuedCertificate,
  RotationRequest,
  TrustBundle,
} from "./api.ts";
import { authorityView, issuedView } from "./authority-view.ts";
import { BUNDLE_TOPIC, type CertificateAuthority } from "./authority.ts";
import { joinRoutes } from "./join-routes.ts";
import type { Joins } from "./joins.ts";
import { requestedWorkload, requireOwnName, requireOwnNames } from "./requested-names.ts";
import type { Rotations } from "./rotation.ts";
import { readCsr } from "./x509/csr.ts";

const tags = ["identity"];
const Serial = Type.Object({ serial: Type.String({ pattern: "^[0-9a-f]{32}$" }) });

export interface IdentityParts {
  readonly authority: CertificateAuthority;
  readonly rotations: Rotations;
  readonly joins: Joins;
}

export function identityPlugin(app: FastifyInstance, parts: IdentityParts & Parameters<typeof joinRoutes>[1]): void {
  bundleRoutes(app, parts.authority);
  certificateRoutes(app, parts.authority);
  authorityRoutes(app, parts);
  joinRoutes(app, parts);
}

function bundleRoutes(untyped: FastifyInstance, authority: CertificateAuthority): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const current = () => {
    const bundle = authority.bundle();
    if (bundle.pem !== "") return bundle;
    throw IdentityErrors.NO_AUTHORITY(
      "The certificate authority does not exist yet. The first certificate or join token creates it: `posthouse join-token create`.",
    );
  };

  app.get(
    "/v1/trust-bundle",
    {
      config: { action: "open" },
      schema: { tags, summary: "Every root that is trusted now", response: { 200: TrustBundle } },
    },
    (_request, reply) => {
      void reply.header("cache-control", "no-cache");
      return current();
    },
  );

  app.get(
    "/v1/watch/trust-bundle",
    {
      config: { action: "self" },
      schema: { tags, summary: "Watch the trust bundle. Each frame has all of it, as in GET /v1/trust-bundle" },
    },
    (request, reply) => {
      authority.hub.attach(reply, {
        topics: [BUNDLE_TOPIC],
        after: lastEventId(request.headers),
        snapshot: () => [authority.bundle()],
        since: (revision) => {
          const bundle = authority.bundle();
          return bundle.revision > revision ? [bundle] : [];
        },
        principal: principalOf(request),
      });
    },
  );
}

function certificateRoutes(untyped: FastifyInstance, authority: CertificateAuthority): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    "/v1/certificates",
    {
      config: { action: "identity:issue", perItem: true },
      bodyLimit: BODY_BYTES.note,
      schema: {
        tags,
        summary: "Issue a certificate for the caller itself, or for a service that it is bound to",
        body: CertificateRequest,
        response: { 201: IssuedCertificate },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { dns, ips, ttlSeconds } = request.body;
      const csr = await readCsr(request.body.csr);
      const workload = requestedWorkload(authority, csr);
      requireOwnName(authority, principal, workload);
      requireOwnNames(authority, principal, { workload, ...(dns ? { dns } : {}), ...(ips ? { ips } : {}) });
      const issued = await authority.issue({ csr, workload, dns, ips, ttlSeconds, by: principal.id });
      return reply.code(201).header("cache-control", "no-store").send(issuedView(issued));
    },
  );

  app.get(
    "/v1/certificates",
    {
      config: { action: "identity:read" },
      schema: {
        tags,
        summary: "Issued certificates, without their keys, the newest first",
        querystring: Type.Object(
          {
            spiffeId: Type.Optional(Type.String({ maxLength: 2048 })),
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: CERTIFICATES_PAGE_MAX })),
          },
          { additionalProperties: false },
        ),
        response: { 200: CertificateList },
      },
    },
    ({ query }) => authority.certificates.list(query),
  );

  app.get(
    "/v1/certificates/:serial",
    {
      config: { action: "identity:read" },
      schema: {
        tags,
        summary: "An issued certificate, without its key",
        params: Serial,
        response: { 200: CertificateSummary },
      },
    },
    ({ params }) => authority.certificates.get(params.serial),
  );

  app.delete(
    "/v1/certificates/:serial",
    {
      config: { action: "identity:manage" },
      schema: {
        tags,
        summary: "Revoke a certificate. Every member rejects it within a second",
        params: Serial,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await authority.revoke(request.params.serial, principalOf(request).name);
      return reply.code(204).send(null);
    },
  );
}

function authorityRoutes(untyped: FastifyInstance, { authority, rotations }: IdentityParts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const manage = { action: "identity:manage" } as const;

  app.get(
    "/v1/authority",
    {
      config: { action: "identity:read" },
      schema: { tags, summary: "The certificate authority, and its rotation", response: { 200: AuthorityView } },
    },
    () => authorityView(authority),
  );

  app.post(
    "/v1/authority/rotations",
    {
      config: manage,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Rotate the intermediate, at once, or the root, which is announced first",
        body: RotationRequest,
        response: { 202: AuthorityView },
      },
    },
    async (request, reply) => {
      await rotations.rotate(request.body, principalOf(request).name);
      return reply.code(202).send(authorityView(authority));
    },
  );

  app.put(
    "/v1/authority",
    {
      config: manage,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Import an outside authority. It replaces the present one as a rotation does",
        body: ImportRequest,
        response: { 202: AuthorityView },
      },
    },
    async (request, reply) => {
      await rotations.import(request.body, principalOf(request).name);
      return reply.code(202).send(authorityView(authority));
    },
  );
}
