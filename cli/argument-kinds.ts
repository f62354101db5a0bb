/** Which live names complete an argument of a verb: by the argument's name, or by verb where that is not enough. */
import { own } from "#base";

const BY_ARGUMENT: Readonly<Record<string, string>> = {
  service: "services",
  set: "sets",
  source: "sources",
  key: "keys",
  proposal: "proposals",
  policy: "policies",
  subject: "bindings",
};
const BY_VERB: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "services show": { service: "services" },
  "services deregister": { id: "instances" },
  "services drain": { id: "instances" },
  "services register": { id: "instances" },
  deregister: { id: "instances" },
  health: { id: "instances" },
  "token revoke": { id: "tokens" },
  "token rotate": { id: "tokens" },
  "token inspect": { id: "tokens" },
  "session end": { id: "sign-ins" },
  "join-token revoke": { id: "join-tokens" },
  "cert show": { serial: "certificates" },
  "cert revoke": { serial: "certificates" },
  "node rm": { kind: "node-kinds", name: "nodes" },
  "locks break": { name: "locks" },
  lock: { name: "locks" },
  "route rm": { name: "routes" },
  "context use": { name: "contexts" },
  "context rm": { name: "contexts" },
  "context set": { name: "contexts" },
};

/** The kinds of a verb's arguments, in order; `-` without live names. */
export function argumentKinds(path: string, args: readonly string[]): string[] {
  return args.map((name) => own(own(BY_VERB, path), name) ?? own(BY_ARGUMENT, name) ?? "-");
}
