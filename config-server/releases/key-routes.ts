/** Routes of a single key: read its effective value, and publish a release that changes or removes it. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { own } from "#base";
import { HttpErrors, principalOf } from "#http";
import {
  ConfigErrors,
  Format,
  formatOf,
  IdentityQuery,
  Key,
  Publish,
  Published,
  SetName,
  VALUE_BYTES_MAX,
} from "../api.ts";
import { setId } from "../core/keys.ts";
import type { ConfigServer } from "./config-server.ts";
import { releaseAuthor } from "./key-rights.ts";
import { readerOf, readyRevisionOf } from "./reader.ts";

const PATH = "/v1/config/:namespace/:app/:profile/keys/:key";
const KeyParams = Type.Object({ ...SetName.properties, key: Key });
const Why = Type.Object(
  { reason: Publish.properties.reason, expectedVersion: Publish.properties.expectedVersion },
  { additionalProperties: false },
);
const publish = { action: "config:publish" } as const;
const tags = ["config"];

export function keyRoutes(app: FastifyInstance, config: ConfigServer): void {
  valueRoute(app, config);
  removalRoute(app, config);
  void app.register(async (scope) => changeRoute(scope, config));
}

function valueRoute(untyped: FastifyInstance, config: ConfigServer): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    PATH,
    {
      config: { action: "config:read" },
      schema: {
        tags,
        summary: "One effective value, without an envelope",
        params: KeyParams,
        querystring: Type.Object(IdentityQuery, { additionalProperties: false }),
        produces: ["text/plain", "application/octet-stream"],
      },
    },
    (request, reply) => {
      const { key, ...name } = request.params;
      readyRevisionOf(config);
      const reader = readerOf(request, name, request.query);
      const effective = config.effective(name, reader);
      const item = own(effective.items, key);
      if (!item) throw ConfigErrors.KEY_NOT_FOUND(`No release for "${setId(name)}" has the key "${key}".`);
      void reply.header("x-posthouse-origin", `${item.origin.profile}@${item.origin.version}`);
      if (item.secret && (reader.audience === "others" || reader.keys?.seesSecret(name, key) === false)) {
        throw HttpErrors.FORBIDDEN(
          `"${key}" is a secret. Only tokens with the policy agent or service and "${name.app}" among their apps can read it. An operator can reveal it with POST …/reveal.`,
          { extra: { action: "config:secrets" } },
        );
      }
      if (item.secret) void reply.header("cache-control", "no-store");
      if (item.format === "binary") {
        return reply.type("application/octet-stream").send(Buffer.from(item.value, "base64"));
      }
      return reply
        .serializer((text: string) => text)
        .type("text/plain; charset=utf-8")
        .send(item.value);
    },
  );
}

function removalRoute(untyped: FastifyInstance, { publisher }: ConfigServer): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().delete(
    PATH,
    {
      config: publish,
      schema: {
        tags,
        summary: "Publish a release without a key",
        params: KeyParams,
        querystring: Why,
        response: { 201: Published },
      },
    },
    async (request, reply) => {
      const { key, ...name } = request.params;
      const author = releaseAuthor(principalOf(request));
      const done = await publisher.change(name, { key, item: undefined, ...request.query }, author);
      return reply.code(201).send(done);
    },
  );
}

function changeRoute(scope: FastifyInstance, { publisher }: ConfigServer): void {
  // The body is the value, whatever its content type.
  scope.removeAllContentTypeParsers();
  const bodyLimit = VALUE_BYTES_MAX;
  scope.addContentTypeParser("*", { parseAs: "buffer", bodyLimit }, (_request, body, done) => done(null, body));
  scope.withTypeProvider<TypeBoxTypeProvider>().put(
    PATH,
    {
      config: publish,
      schema: {
        tags,
        summary: "Publish a release that changes one key. The body is the value; the key's extension gives its format",
        consumes: ["*/*"],
        params: KeyParams,
        querystring: Type.Object(
          {
            ...Why.properties,
            format: Type.Optional(Format),
            expand: Type.Optional(Type.Boolean()),
            secret: Type.Optional(Type.Boolean({ description: "Absent: unchanged." })),
          },
          { additionalProperties: false },
        ),
        response: { 201: Published },
      },
    },
    async (request, reply) => {
      const { key, ...name } = request.params;
      const { format = formatOf(key), expand = false, secret, ...why } = request.query;
      const item = {
        format,
        value: valueOf(key, format, request.body),
        ...(expand ? { expand } : {}),
        ...(secret === undefined ? {} : { secret }),
      };
      const author = releaseAuthor(principalOf(request));
      return reply.code(201).send(await publisher.change(name, { key, item, ...why }, author));
    },
  );
}

/** @throws CONFIG_VALUE_INVALID when a text format is given bytes that are not UTF-8 */
function valueOf(key: string, format: Format, body: unknown): string {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  if (format === "binary") return bytes.toString("base64");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw ConfigErrors.VALUE_INVALID(`The body for key "${key}" is not UTF-8. Send text, or set format=binary.`, {
      cause,
      extra: { field: "/body" },
    });
  }
}
