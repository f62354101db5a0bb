/**
 * Ids of the system's users and groups by name. Node has no function for this, so the local files are read; a name from a directory
 * service is given by its number.
 */
import { readFile } from "node:fs/promises";
import { AgentErrors } from "./api.ts";

const FILES = { user: "/etc/passwd", group: "/etc/group" } as const;
const NUMBER = /^\d{1,10}$/;
/** chown keeps an id that is given as -1. */
export const AS_IT_IS = -1;

/** The id of a user or a group, given by its name or its number. @throws AGENT_OWNER_UNKNOWN */
export async function systemId(kind: keyof typeof FILES, name: string, path: string = FILES[kind]): Promise<number> {
  if (NUMBER.test(name)) return Number(name);
  const text = await readFile(path, "utf8").catch(() => "");
  for (const line of text.split("\n")) {
    const [found, _password, id = ""] = line.split(":");
    if (found === name && NUMBER.test(id)) return Number(id);
  }
  throw AgentErrors.OWNER_UNKNOWN(
    `The ${kind} "${name}" is not in ${path}. Create it, or give its number if another service of the system knows it.`,
    { extra: { field: kind } },
  );
}

/** The ids of an owner and a group, as chown takes them. @throws AGENT_OWNER_UNKNOWN */
export async function ownerIds({
  owner,
  group,
}: {
  readonly owner?: string | undefined;
  readonly group?: string | undefined;
}): Promise<{ readonly uid: number; readonly gid: number }> {
  return {
    uid: owner === undefined ? AS_IT_IS : await systemId("user", owner),
    gid: group === undefined ? AS_IT_IS : await systemId("group", group),
  };
}
