/** Join tokens as their list shows them, the request for that of an agent, and the command that the machine runs. Pure. */
import type { JoinTokenRequest, JoinTokenSummary } from "#identity/api";
import { cliOf } from "../../data/commands.ts";
import { givenLimits, LIMIT_KINDS, type LimitKind, limitWords } from "./core.ts";

export function joinState({ used, expiresAt }: JoinTokenSummary, nowMs: number): "open" | "used" | "expired" {
  if (used) return "used";
  return Date.parse(expiresAt) <= nowMs ? "expired" : "open";
}

export interface JoinDraft {
  readonly name: string;
  readonly limits: Readonly<Record<LimitKind, string>>;
  readonly ttlSeconds: number;
}

/** As the server has it in its contract. */
const NODE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export const isNodeName = (name: string) => NODE_NAME.test(name);

export function joinRequest({ name, limits, ttlSeconds }: JoinDraft): JoinTokenRequest {
  const given = name.trim();
  return {
    kind: "agent",
    ...(given === "" ? {} : { name: given }),
    ...givenLimits(LIMIT_KINDS, limits),
    ttlSeconds,
  };
}

export function joinWords({ kind, name, ttlSeconds, ...limits }: JoinTokenRequest): string {
  return cliOf(
    "join-token",
    "create",
    "--kind",
    kind,
    ...(name === undefined ? [] : ["--name", name]),
    ...limitWords(limits),
    ...(ttlSeconds === undefined ? [] : ["--ttl-seconds", String(ttlSeconds)]),
  );
}

interface JoinCommand {
  /** Address of the control plane, such as `https://plane.example:8500`. */
  readonly origin: string;
  readonly token: string;
  readonly name: string | undefined;
}

/** The address for a join, which needs TLS: the port of the page serves it as soon as other machines can reach it. */
function joinOrigin(origin: string): string {
  return origin.replace(/^http:/, "https:");
}

/** The command that the machine runs, complete. */
export function joinCommand({ origin, token, name }: JoinCommand): string {
  return cliOf(
    "agent",
    "join",
    joinOrigin(origin),
    "--join-token",
    token,
    ...(name === undefined ? [] : ["--name", name]),
  );
}
