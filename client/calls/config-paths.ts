/** The path of a config set, which the calls of the config server share. */
import type { SetName } from "#config-server/api";
import { enc } from "./caller.ts";

export function setPath(name: SetName): string {
  return `/v1/config/${enc(name.namespace)}/${enc(name.app)}/${enc(name.profile)}`;
}
