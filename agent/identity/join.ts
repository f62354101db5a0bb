/** Joining: a host exchanges a join token for its first certificate, over a connection that the token's fingerprint verifies. */
import { AppError, type Host, messageOf } from "#base";
import { ClientErrors, fetchTransport, workloadCalls } from "#client";
import { IdentityErrors } from "#identity/api";
import { parseSpiffeId } from "#identity/core";
import { AgentErrors } from "../api.ts";
import { standingAt } from "../core/certificate-times.ts";
import { certificateFacts, certificateRequest } from "./certificate-request.ts";
import { IdentityFolder } from "./identity-folder.ts";

const TOKEN = /^phj_[0-9a-f]{16}_[0-9a-f]{64}_([0-9a-f]{64})$/;

export interface JoinOptions {
  /** Members of the control plane; the first one that answers takes the join. */
  readonly urls: readonly string[];
  readonly token: string;
  /** The agent's data folder. */
  readonly dataDir: string;
  /** Name of this host, if a person chose one; a token for one name allows no other. */
  readonly name: string | undefined;
  /** Name of this host otherwise, if the token has none. */
  readonly defaultName: string;
  /** Whether an identity that is still valid is replaced. */
  readonly replace?: boolean | undefined;
}

export interface Joined {
  readonly spiffeId: string;
  readonly expiresAt: string;
  readonly folder: string;
}

/** @throws AGENT_JOIN_TOKEN_INVALID, AGENT_ALREADY_JOINED, CLIENT_UNTRUSTED, CLIENT_UNREACHABLE, IDENTITY_JOIN_… */
export async function joinControlPlane(host: Host, options: JoinOptions): Promise<Joined> {
  const { urls, token, name, defaultName, dataDir, replace = false } = options;
  const fingerprint = fingerprintOf(token);
  requireTls(urls);
  const folder = new IdentityFolder(dataDir);
  if (!replace) await requireNotJoined(host, folder);
  const csr = await certificateRequest(await folder.key());
  await using transport = fetchTransport({ urls, tls: { fingerprint } });
  const control = { urls: [...urls], fingerprint, name: name ?? defaultName };
  await folder.beginJoin(control);
  try {
    const request = { token, csr, ...(name === undefined ? { defaultName } : { name }) };
    const issued = await workloadCalls(host, { transport }).join(request);
    const joinedAs = parseSpiffeId(issued.spiffeId)?.workload.name ?? control.name;
    await folder.completeJoin({ ...control, name: joinedAs }, issued);
    requireClock(host, issued.certificate);
    return { spiffeId: issued.spiffeId, expiresAt: issued.expiresAt, folder: folder.path };
  } catch (error) {
    if (isRefused(error)) await folder.abandonJoin();
    throw explained(error, { name: control.name });
  }
}

/** @throws AGENT_JOIN_TOKEN_INVALID */
function fingerprintOf(token: string): string {
  const [, fingerprint] = TOKEN.exec(token.trim()) ?? [];
  if (fingerprint !== undefined) return fingerprint;
  throw AgentErrors.JOIN_TOKEN_INVALID(
    "This is not a join token, which begins with phj_ and has three parts. Create one at the control plane: posthouse join-token create.",
    { extra: { field: "join-token" } },
  );
}

/** @throws AGENT_JOIN_NEEDS_TLS */
function requireTls(urls: readonly string[]): void {
  const plain = urls.find((url) => !url.startsWith("https://"));
  if (plain === undefined) return;
  throw AgentErrors.JOIN_NEEDS_TLS(
    `${plain} is not an https URL. A join sends a secret, and the fingerprint in the token verifies the control plane, so it needs TLS.`,
    { extra: { field: "url" } },
  );
}

/** @throws AGENT_ALREADY_JOINED */
async function requireNotJoined(host: Host, folder: IdentityFolder): Promise<void> {
  const stored = await folder.read().catch((error: unknown) => {
    // The token of an interrupted join may be used again, or a new one is given.
    if (AgentErrors.JOIN_INCOMPLETE.is(error)) return undefined;
    throw error;
  });
  if (stored === undefined || stored.material.expiresAtMs <= host.clock.now()) return;
  throw AgentErrors.ALREADY_JOINED(
    `This data folder already has the identity ${stored.material.spiffeId}, valid until ${new Date(stored.material.expiresAtMs).toISOString()}. ` +
      `Use it: posthouse up --roles agent. To replace it, add --replace.`,
  );
}

/** A certificate that was issued a moment ago and is not valid here shows that a clock is wrong. */
function requireClock(host: Host, certificate: string): void {
  const facts = certificateFacts(certificate);
  const nowMs = host.clock.now();
  if (standingAt(facts, nowMs) === "valid") return;
  const offMs = nowMs < facts.fromMs ? facts.fromMs - nowMs : nowMs - facts.untilMs;
  throw AgentErrors.CLOCK_WRONG(
    `The certificate was issued just now, but is not valid by the clock of this machine, which says ${new Date(nowMs).toISOString()}: ` +
      `it is off by at least ${Math.ceil(offMs / 60_000)} min, or that of the control plane is. Set the clock right. The identity is stored; no new join is needed.`,
  );
}

/** Whether the control plane answered that nothing has joined. A used token may have been used by this host, before a kill. */
function isRefused(error: unknown): boolean {
  return error instanceof AppError && error.code.startsWith("IDENTITY_") && !IdentityErrors.JOIN_TOKEN_USED.is(error);
}

function explained(error: unknown, { name }: { name: string }): unknown {
  if (IdentityErrors.JOIN_TOKEN_USED.is(error)) {
    return AgentErrors.JOIN_TOKEN_SPENT(
      `${messageOf(error)} If an interrupted join of this host used it, create a token for this name: posthouse join-token create --kind agent --name ${name}`,
      { cause: error },
    );
  }
  if (ClientErrors.UNREACHABLE.is(error) && error instanceof AppError) {
    return AgentErrors.JOIN_UNANSWERED(
      `${error.message} If the answer was lost, the token may have been used: run the join again, and the answer says so.`,
      { cause: error },
    );
  }
  return error;
}
