/** Checks as they are stored, with every default filled in and the target spelled out, and the checks that are rejected. */
import {
  RegistryErrors,
  addressProblem,
  checkProblem,
  resolveCheck,
  ruleProblem,
  type Check,
  type CheckProblem,
  type Registration,
  type ResolvedCheck,
  type ResolvedProbe,
} from "../api.ts";

export type StoredCheck = ResolvedCheck;
/** A check that is probed; a TTL check waits for reports instead. */
export type ProbedCheck = ResolvedProbe;

/** A check as it is stored. `origin`: where its instance can be reached, such as `http://10.0.0.7:8080`. */
export function storedCheck(check: Check, origin: string): StoredCheck {
  const [, scheme, host = "", port] = /^(https?):\/\/\[?(.*?)\]?:(\d+)$/.exec(origin) ?? [];
  return resolveCheck(check, { host, port: Number(port), tls: scheme === "https" });
}

/** @throws REGISTRY_CHECK_INVALID when the servers would not run one of them */
export function refuseUnreachable(
  checks: readonly StoredCheck[],
  refuse: (check: ProbedCheck) => string | undefined,
): void {
  for (const [index, check] of checks.entries()) {
    const problem = check.type === "ttl" ? undefined : refuse(check);
    if (problem === undefined) continue;
    const field = `/checks/${index}`;
    throw RegistryErrors.CHECK_INVALID(`${field}: the servers do not run check "${check.id}" with ${problem}.`, {
      extra: { field },
    });
  }
}

/** @throws REGISTRY_REGISTRATION_INVALID, REGISTRY_CHECK_INVALID naming the field and how to fix it */
export function refuseUnfit(
  { address, checks, probedBy = "server" }: Pick<Registration, "address" | "checks" | "probedBy">,
  defaults: readonly Check[],
): void {
  const problem = addressProblem(address);
  if (problem) {
    const { field, message } = problem;
    throw RegistryErrors.REGISTRATION_INVALID(`${field}: ${message}.`, { extra: { field } });
  }
  if (checks) refuseUnfitChecks(checks, (check) => checkProblem(check, probedBy));
  else refuseUnfitChecks(defaults, (check) => ruleProblem(check, probedBy));
}

/** @throws REGISTRY_CHECK_INVALID naming the field and how to fix it */
export function refuseUnfitChecks(
  checks: readonly Check[],
  problemOf: (check: Check) => CheckProblem | undefined = (check) => checkProblem(check, "server"),
): void {
  for (const [index, check] of checks.entries()) {
    const problem = problemOf(check);
    if (!problem) continue;
    const field = `/checks/${index}${problem.field}`;
    throw RegistryErrors.CHECK_INVALID(`${field} of check "${check.id}": ${problem.message}.`, { extra: { field } });
  }
}
