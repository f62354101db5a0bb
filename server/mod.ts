/**
 * The composition root: the only place where everything meets. Each opener hands its resource to one stack, so a failed
 * start unwinds itself and a stop is the start in reverse.
 */
import { Access, type TokenSummary } from "#access";
import type { Host } from "#base";
import { OwnListeners } from "#base/address-class";
import { machineAddresses } from "#base/dial";
import type { Settings } from "#settings";
import { openStore } from "#store";
import { requireFreePorts } from "./ports.ts";
import { reasons, ROLES, storeOptions, type Addresses, type Parts } from "./roles.ts";
import { withTelemetry } from "./tracing.ts";

export * from "./api.ts";
export { TlsErrors } from "./certificates.ts";
export type { Addresses } from "./roles.ts";
export { VERSION } from "./version.ts";

export interface Server extends AsyncDisposable {
  readonly addresses: Readonly<Addresses>;
  /** The operator's token, at the very first start only. */
  readonly firstToken: string | undefined;
  /** An operator's token that only this process knows and that ends with it; without the control API there is none. */
  readonly ownToken: string | undefined;
  /** What is not ready yet, in words; empty when all is. */
  notReady(): string[];
}

/** @throws AppError with a code and a detail that names the setting and the way out; nothing is then left open */
export async function createServer(host: Host, settings: Settings): Promise<Server> {
  await using stack = new AsyncDisposableStack();
  const parts: Parts = {
    host: await withTelemetry(host, settings, stack),
    settings,
    stack,
    notReady: [],
    addresses: {},
    listeners: new OwnListeners(machineAddresses),
    control: undefined,
  };
  await requireFreePorts(settings);
  for (const role of ROLES) if (role.wanted(settings)) await role.start(parts);
  let stopping = false;
  // Handed over last, so done first: before anything closes, say that no more work should come.
  parts.notReady.push(() => (stopping ? "stopping" : undefined));
  stack.defer(() => void (stopping = true));
  const owned = stack.move();
  return {
    addresses: parts.addresses,
    firstToken: parts.control?.firstToken?.token,
    ownToken: parts.control?.access.internalToken({ name: "this process", role: "operator" }),
    notReady: () => reasons(parts),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A new operator token, and the other operator tokens: revoked, or still working. */
export interface OfflineToken {
  readonly token: string;
  readonly others: readonly TokenSummary[];
}

/** An operator's token made without a server, for an operator who lost theirs. @throws STORE_LOCKED while one runs */
export async function issueOfflineToken(
  host: Host,
  settings: Settings,
  { revokeOthers }: { revokeOthers: boolean },
): Promise<OfflineToken> {
  await using store = await openStore(host, storeOptions(settings));
  const access = new Access(host, store);
  const others = (await access.stored()).filter(({ role }) => role === "operator");
  const { token } = await access.issue({ name: "operator", role: "operator" });
  // After the new one is durable: a crash in between leaves too many tokens, never none.
  if (revokeOthers) for (const { id } of others) await access.revoke(id);
  return { token, others };
}
