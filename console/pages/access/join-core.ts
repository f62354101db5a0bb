/** Join tokens as their list shows them, their request, and the command that a machine runs. Pure. */
import type { JoinTokenRequest, JoinTokenSummary } from "#identity/api";
import { cliOf } from "../../data/commands.ts";
import { givenLimits, LIMIT_KINDS, type LimitKind, limitWords } from "./core.ts";

export function joinState({ used, expiresAt }: JoinTokenSummary, nowMs: number): "open" | "used" | "expired" {
  if (used) return "used";
  return Date.parse(expiresAt) <= nowMs ? "expired" : "open";
}

export interface JoinDraft {
  readonly kind: "agent" | "gateway";
  readonly name: string;
  readonly limits: Readonly<Record<LimitKind, string>>;
  readonly ttlSeconds: number;
}

/** As the server has it in its contract. */
const NODE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export const isNodeName = (name: string) => NODE_NAME.test(name);

/** A gateway runs no services, so only its namespaces narrow it. */
export function joinLimits(kind: JoinDraft["kind"]): readonly LimitKind[] {
  return kind === "agent" ? LIMIT_KINDS : ["namespaces"];
}

export function joinRequest({ kind, name, limits, ttlSeconds }: JoinDraft): JoinTokenRequest {
  const given = name.trim();
  return {
    kind,
    ...(given === "" ? {} : { name: given }),
    ...givenLimits(joinLimits(kind), limits),
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
  readonly kind: "agent" | "gateway";
  readonly name: string | undefined;
}

/** The command that the machine runs, complete. */
export function joinCommand({ origin, token, kind, name }: JoinCommand): string {
  return cliOf(kind, "join", origin, "--join-token", token, ...(name === undefined ? [] : ["--name", name]));
}
