/**
 * The composition root: the only place that knows all modules. Each opener adds its resource to one stack, so a failed start cleans up
 * after itself, and a stop is the start in reverse.
 */
import { chmod, mkdir, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { Access, signInPath, type TokenSummary } from "#access";
import { bracketedHost, type Host, messageOf } from "#base";
import { injectTransport, type Transport } from "#client";
import { OwnListeners } from "#base/address-class";
import { machineAddresses } from "#base/dial";
import type { Settings } from "#settings";
import { openStore, repairStore, StoreErrors, type RepairReport } from "#store";
import { readControlTls } from "./control-tls.ts";
import { ListenerCertificate } from "./listener-tls.ts";
import { openHostIdentity } from "./host-identity.ts";
import { refusePlaintext } from "./plaintext.ts";
import { requireFreePorts } from "./ports.ts";
import { ROLES } from "./roles.ts";
import { storeOptions } from "./roles/control-api.ts";
import { reasons, type Addresses, type Parts } from "./roles/parts.ts";
import { EVERY_INTERFACE } from "./roles/sign-in.ts";
import { withTelemetry } from "./tracing.ts";

export * from "./api.ts";
export type { RepairReport } from "#store";
export { TlsErrors } from "./certificates.ts";
export type { Addresses } from "./roles/parts.ts";
export { joinHost, type JoinHostOptions } from "./join-host.ts";
export { VERSION } from "./version.ts";

/** Mode of the data folder, which contains keys, tokens and configs. */
const DATA_MODE = 0o700;

export interface Server extends AsyncDisposable {
  readonly addresses: Readonly<Addresses>;
  /** The operator's token, at the very first start only. */
  readonly firstToken: string | undefined;
  /** An operator's token that only this process knows and that ends with it. Absent without the control API. */
  readonly ownToken: string | undefined;
  /** Calls into the control API of this process, without its port. Absent without the control API. */
  readonly controlTransport: Transport | undefined;
  /** For the people of other machines: how they verify the control API, and its address for them. Absent without TLS. */
  readonly outside: { readonly url: string; readonly fingerprint: string | undefined } | undefined;
  /** Parts that are not ready yet, for people; empty when all are ready. */
  notReady(): string[];
  /** A new address that signs in a browser once, as the operator "console". Undefined without the control API. */
  signInUrl(): Promise<string | undefined>;
}

/** Closes the data folder to other users, including a folder that was created or restored with a wider mode. */
async function closeFolder(host: Host, path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: DATA_MODE }).catch(() => {});
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) === 0) return;
    await chmod(path, DATA_MODE);
    host.log.info(
      { path, mode: (mode & 0o777).toString(8) },
      "the data folder was accessible to other users; its mode is now 700",
    );
  } catch (error) {
    // For a missing folder, or another user's, the next open reports the error.
    host.log.warn({ path, err: error }, `the mode of the data folder was not checked: ${messageOf(error)}`);
  }
}

/** @throws AppError with a code and a detail that names the setting and what to do; nothing stays open then */
export async function createServer(host: Host, settings: Settings): Promise<Server> {
  refusePlaintext(settings);
  await closeFolder(host, settings.data);
  await using stack = new AsyncDisposableStack();
  const identity = await openHostIdentity(host, settings);
  if (identity) stack.use(identity).start();
  const parts: Parts = {
    host: await withTelemetry(host, settings, stack),
    settings,
    stack,
    notReady: [],
    certificates: [],
    listenerCertificate: stack.use(
      new ListenerCertificate(host, {
        settings,
        hasAuthority: settings.roles.includes("registry"),
        identity: identity?.source,
      }),
    ),
    controlTls: await readControlTls(settings),
    addresses: {},
    listeners: new OwnListeners(machineAddresses),
    control: undefined,
    identity,
  };
  await requireFreePorts(settings);
  for (const role of ROLES) if (role.wanted(settings)) await role.start(parts);
  let stopping = false;
  // Added last, so it runs first: before anything closes, the process reports that it is no longer ready.
  parts.notReady.push(() => (stopping ? "stopping" : undefined));
  stack.defer(() => void (stopping = true));
  const owned = stack.move();
  return {
    addresses: parts.addresses,
    firstToken: parts.control?.firstToken?.token,
    ownToken: parts.control?.access.internalToken({ name: "this process", policies: ["operator"] }),
    controlTransport: parts.control && injectTransport(parts.control.app),
    outside: outsideOf(parts),
    notReady: () => reasons(parts),
    signInUrl: async () => {
      const { control, addresses } = parts;
      if (!control || addresses.controlApi === undefined) return undefined;
      const { code } = await control.access.consoleLink();
      return `${addresses.controlApi}${signInPath(code)}`;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function outsideOf({ addresses, control, settings }: Parts): Server["outside"] {
  if (!control || addresses.controlApi?.startsWith("https:") !== true) return undefined;
  const { port } = new URL(addresses.controlApi);
  const name = EVERY_INTERFACE.has(settings.host) ? hostname().toLowerCase() : settings.host;
  const host = bracketedHost(name);
  // The operator's certificate comes from another authority.
  const fingerprint = settings.tlsCertFile === undefined ? control.authority.fingerprint : undefined;
  return { url: `https://${host}:${port}`, fingerprint };
}

/** A new operator token, and the other operator tokens: revoked, or still valid. */
export interface OfflineToken {
  readonly token: string;
  readonly others: readonly TokenSummary[];
}

/** Issues an operator's token without a server, when the token was lost. @throws STORE_LOCKED while a server runs */
export async function issueOfflineToken(
  host: Host,
  settings: Settings,
  { revokeOthers }: { revokeOthers: boolean },
): Promise<OfflineToken> {
  await using stack = new AsyncDisposableStack();
  await using store = await openStore(host, await storeOptions(host, settings, { stack }));
  const access = new Access(host, store);
  const others = (await access.tokens.stored()).filter(({ policies }) => policies.includes("operator"));
  const { token } = await access.tokens.issue({ name: "operator", policies: ["operator"] }, "operator-token");
  // After the new token is durable, so that a crash in between leaves too many tokens, never none.
  if (revokeOthers) for (const { id } of others) await access.tokens.revoke(id, "operator-token");
  return { token, others };
}

/**
 * Repairs the settings' store, which no process may have open.
 * @throws STORE_INVALID when it is not the embedded one, STORE_LOCKED, STORE_CORRUPT, STORE_FULL, STORE_UNAVAILABLE
 */
export async function repairOwnStore(
  host: Host,
  settings: Settings,
  { dryRun }: { dryRun: boolean },
): Promise<RepairReport> {
  await using stack = new AsyncDisposableStack();
  const options = await storeOptions(host, settings, { stack });
  if (options.engine === "lmdb") return repairStore(host, { folder: options.folder, dryRun });
  throw StoreErrors.INVALID(`Only the embedded store can be repaired, but the setting "store" is "${settings.store}".`);
}
