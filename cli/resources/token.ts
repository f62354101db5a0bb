/**
 * Kind Token: a token by its name, with policies and limits. Its secret is not a part of the resource: the server shows it once, when the
 * token is issued, and it goes into a file of `--tokens-to`.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TokenRequest } from "#access/api";
import { CliErrors } from "../errors.ts";
import type { ResourceKind } from "./kind.ts";

/** Only the user may read the secrets of tokens. */
const MODE = { file: 0o600, folder: 0o700 } as const;

/** The app that a gateway reads unless its token says otherwise. */
const GATEWAY_APP = "gateway";

type TokenSpec = Omit<TokenRequest, "name">;

export const accessToken: ResourceKind = {
  kind: "Token",
  description:
    "A token by its name. A changed policy or limit issues a new token and revokes the old one. Needs --tokens-to.",
  metadata: ["name"],
  schema: async () => {
    const { name: _name, ...properties } = TokenRequest.properties;
    return { ...TokenRequest, properties, required: ["policies"] };
  },
  idOf: ({ name }) => name,
  async read(client, { name }) {
    const { tokens } = await client.access.tokens();
    const found = tokens
      .filter((token) => token.name === name)
      .toSorted((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
    const [token] = found;
    if (!token) return undefined;
    const { policies, apps, services, namespaces, createdAt, expiresAt } = token;
    const ttlMs = expiresAt === undefined ? undefined : Date.parse(expiresAt) - Date.parse(createdAt);
    const spec = {
      policies,
      apps,
      services,
      namespaces,
      ttlSeconds: ttlMs === undefined ? undefined : Math.round(ttlMs / 1000),
    };
    return { spec: JSON.parse(JSON.stringify(spec)) as TokenSpec, cas: token.id };
  },
  comparable(spec, live) {
    // A token without apps has those of its policies: none for an agent or a service, gateway for a gateway.
    const { apps } = (live ?? {}) as TokenSpec;
    const isDefault = apps !== undefined && (apps.length === 0 || apps.join(" ") === GATEWAY_APP);
    return isDefault ? { apps, ...(spec as TokenSpec) } : spec;
  },
  async write(client, { metadata: { name }, spec, live }, { tokensTo }) {
    if (tokensTo === undefined) {
      throw CliErrors.ARGUMENT_INVALID(
        `Token "${name}" is to be issued. Say where its secret goes: --tokens-to FOLDER.`,
      );
    }
    await mkdir(tokensTo, { recursive: true, mode: MODE.folder });
    const path = join(tokensTo, `${name.replaceAll(/[^A-Za-z0-9._@-]/g, "_")}.token`);
    const { token } = await client.access.issueToken({ name, ...(spec as TokenSpec) });
    await writeFile(path, `${token}\n`, { mode: MODE.file });
    if (live) await client.access.revokeToken(String(live.cas));
    return `its secret is in ${path}`;
  },
  async remove(client, { live }) {
    if (live) await client.access.revokeToken(String(live.cas));
  },
};
