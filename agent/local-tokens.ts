/**
 * The tokens of the local API: one for everything, and one for each entry of the setting `agentAccess`. A token that no setting
 * gives is generated at the first start, in a file that only the agent's user can read.
 */
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf, randomId, type Host } from "#base";
import { builtInRights, type Principal } from "#http";
import { AgentErrors } from "./api.ts";
import type { AgentSettings, LocalAccess } from "./settings.ts";

/** Random bytes of a token: too many to guess. */
const TOKEN_BYTES = 32;
const TOKEN_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** Characters of a token in a file. A shorter one is a mistake, such as an empty file. */
const TOKEN_CHARS_MIN = 16;

export interface LocalToken {
  readonly token: string;
  readonly principal: Principal;
}

/** Path of the token that allows everything, below the agent's data folder. */
export function localTokenPath(dataDir: string): string {
  return join(dataDir, "token");
}

/** @throws AGENT_FOLDER_UNUSABLE */
export async function localTokens(
  host: Host,
  { dataDir, token, access }: Pick<AgentSettings, "dataDir" | "token" | "access">,
): Promise<LocalToken[]> {
  const everything = token ?? (await readOrGenerate(host, localTokenPath(dataDir)));
  const tokens: LocalToken[] = [{ token: everything, principal: localPrincipal("local") }];
  for (const one of access) {
    const path = join(dataDir, "tokens", one.name);
    tokens.push({ token: await readOrGenerate(host, path), principal: localPrincipal(one.name, one) });
  }
  return tokens;
}

const LOCAL_POLICIES = ["agent"];

/** A caller of the local API. A caller without limits is the agent's own user, who can read its files anyway. */
export function localPrincipal(name: string, access?: LocalAccess): Principal {
  const { apps, services } = access ?? {};
  return {
    id: `local:${name}`,
    name,
    kind: "local",
    policies: LOCAL_POLICIES,
    rights: builtInRights(LOCAL_POLICIES),
    ...(access === undefined ? {} : { limits: { apps, services } }),
  };
}

async function readOrGenerate(host: Host, path: string): Promise<string> {
  try {
    const known = (await readFile(path, "utf8").catch(absent))?.trim();
    if (known !== undefined && known.length >= TOKEN_CHARS_MIN) {
      await chmod(path, TOKEN_MODE);
      return known;
    }
    const generated = `pha_${randomId(host.random, TOKEN_BYTES)}`;
    await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
    await writeFile(path, `${generated}\n`, { mode: TOKEN_MODE });
    await chmod(path, TOKEN_MODE);
    return generated;
  } catch (cause) {
    throw AgentErrors.FOLDER_UNUSABLE(
      `The token of the local API cannot be read from or written to ${path}: ${messageOf(cause)}. Make its folder writable, or set a token.`,
      { cause },
    );
  }
}

function absent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  return undefined;
}
