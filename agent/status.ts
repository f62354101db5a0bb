/** The status of the agent: counts, and the current problems with their codes. */
import type { AppError } from "#base";
import type { SetName } from "#config-server/api";
import {
  AgentErrors,
  type AgentIdentityStatus,
  type AgentStatus,
  type CertificateFileState,
  type LocalFile,
} from "./api.ts";
import { inSync, type SyncState } from "./core/sync-state.ts";

export interface StatusParts {
  readonly node: string;
  readonly identity: AgentIdentityStatus | undefined;
  readonly sync: SyncState;
  readonly services: number;
  readonly files: readonly LocalFile[];
  readonly certificates: readonly CertificateFileState[];
  /** Sets of which the server has an older config. */
  readonly older: readonly SetName[];
  readonly definitionProblem: AppError | undefined;
  readonly snapshotProblem: string | undefined;
}

export function statusOf(parts: StatusParts): AgentStatus {
  const { node, identity, sync, services, files, certificates } = parts;
  return {
    node,
    connected: sync.connected === true,
    session: sync.session === undefined ? "none" : "open",
    inSync: inSync(sync),
    services,
    files: files.length,
    filesFailed: files.filter((file) => file.state === "failed").length,
    ...(identity === undefined ? {} : { identity }),
    ...(certificates.length === 0 ? {} : { certificates: [...certificates] }),
    problems: problemsOf(parts),
  };
}

function problemsOf({
  identity,
  certificates,
  sync,
  files,
  older,
  definitionProblem,
  snapshotProblem,
}: StatusParts): AgentStatus["problems"] {
  const problems: AgentStatus["problems"] = [];
  const report = ({ code }: { code: string }, detail: string) => problems.push({ code, detail });
  if (identity?.code !== undefined && identity.problem !== undefined) {
    report({ code: identity.code }, identity.problem);
  }
  if (definitionProblem) report(definitionProblem, definitionProblem.message);
  if (sync.connected === false) {
    report(AgentErrors.SERVER_AWAY, "The control plane does not answer; the agent serves what it knows.");
  }
  if (sync.refusal !== undefined) {
    report(AgentErrors.SESSION_REFUSED, `The control plane rejects this agent's session: ${sync.refusal}`);
  }
  if (snapshotProblem !== undefined) report(AgentErrors.SNAPSHOT_NOT_KEPT, snapshotProblem);
  for (const { code = "", error } of files) if (error !== undefined) report({ code }, error);
  for (const { id, error } of certificates) {
    if (error !== undefined) report(AgentErrors.CERTIFICATE_NOT_WRITTEN, `The certificate of "${id}": ${error}`);
  }
  for (const { namespace, app, profile } of older) {
    const set = `${namespace}/${app}/${profile}`;
    const ways = `Release it again, or accept the older one with POST /v1/agent/config/${set}/accept.`;
    report(
      AgentErrors.CONFIG_OLDER,
      `The server has an older config of ${set} than this host, which keeps its own. ${ways}`,
    );
  }
  for (const { name, error } of sync.claims.values()) {
    if (error !== undefined) report(AgentErrors.SERVICE_REFUSED, `The server rejects "${name.id}": ${error}`);
  }
  return problems;
}
