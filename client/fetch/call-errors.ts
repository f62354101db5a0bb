/** The errors of calls to services: each names the service, what happened, and what to do. */
import { AppError, messageOf } from "#base";
import { isDead, type FailedCall } from "#gateway/balancing";
import { ClientErrors } from "../errors.ts";
import type { ServiceTarget } from "./service-target.ts";

type CallErrorName =
  | "SERVICE_UNREACHABLE"
  | "SERVICE_RESET"
  | "SERVICE_UNTRUSTED"
  | "SERVICE_BAD_ANSWER"
  | "SERVICE_TIMEOUT";

const ROWS: Readonly<Partial<Record<FailedCall["error"], readonly [CallErrorName, string]>>> = {
  UPSTREAM_UNREACHABLE: ["SERVICE_UNREACHABLE", "no instance accepted a connection"],
  UPSTREAM_TIMEOUT: ["SERVICE_TIMEOUT", "it did not answer in time"],
  UPSTREAM_UNTRUSTED: ["SERVICE_UNTRUSTED", "its certificate is not trusted; set option tls"],
  UPSTREAM_BAD_ANSWER: ["SERVICE_BAD_ANSWER", "its answer is not valid HTTP"],
  UPSTREAM_RESET: ["SERVICE_RESET", "it closed the connection"],
};

/** `failed` absent: part of the answer had arrived. */
export function callError(
  { watched: { service, namespace } }: ServiceTarget,
  cause: Error,
  { failed, attempts }: { failed: FailedCall | undefined; attempts: number },
): Error {
  if (cause instanceof AppError) return cause;
  if (failed?.error === "INTERNAL") return cause;
  const extra = { service, namespace, attempts };
  if (!failed)
    return ClientErrors.SERVICE_RESET(`Service "${service}" broke off its answer: ${messageOf(cause)}.`, {
      cause,
      extra,
    });
  const [name, what] = ROWS[failed.error] ?? ["SERVICE_RESET", "the connection failed"];
  const count = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  return ClientErrors[name](`Service "${service}": ${what}, after ${count}. The last error was: ${messageOf(cause)}.`, {
    cause,
    extra,
  });
}

/** Why no instance can receive a request now. */
export function noEndpoint({ watched, endpoints: set }: ServiceTarget, nowMs: number): AppError {
  const { service, namespace, instances = [] } = watched;
  const extra = { service, namespace };
  if (instances.length === 0)
    return ClientErrors.SERVICE_NOT_FOUND(
      `Service "${service}" has no registered instance in namespace "${namespace}". Check the name, or start the service.`,
      { extra },
    );
  if (set.endpoints.length === 0)
    return ClientErrors.SERVICE_NO_ENDPOINT(
      `Service "${service}" in namespace "${namespace}" has no healthy instance: ${set.absence ?? "none is ready"}.`,
      { extra },
    );
  if (isDead(set, nowMs))
    return ClientErrors.SERVICE_UNREACHABLE(`No instance of service "${service}" accepts connections.`, { extra });
  return ClientErrors.SERVICE_OVERLOADED(
    `Every instance of service "${service}" has reached its limit of requests in flight. Send fewer at once, or raise inFlightMax.`,
    { extra },
  );
}

export function tooLate({ watched: { service, namespace } }: ServiceTarget, deadlineMs: number): AppError {
  return ClientErrors.SERVICE_TIMEOUT(`Service "${service}" did not answer within ${deadlineMs} ms.`, {
    extra: { service, namespace },
  });
}
