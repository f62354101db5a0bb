/** The role that serves the control API: store, secrets, release checks. */
import { hostname } from "node:os";
import { isAbsolute, join } from "node:path";
import type { AppError, Host } from "#base";
import { Client, injectTransport } from "#client";
import { keyCommand, keyFile, ownKeyFile, type KeySource } from "#config-server";
import { flagsReleaseCheck } from "#flags";
import { gatewayReleaseCheckWith, loadFilters } from "#gateway/config-text";
import { loadExplain } from "#gateway/explain";
import { isLoopback } from "#http";
import { type Settings, spellings } from "#settings";
import { serviceRulesReleaseCheck } from "#sidecar/rules";
import { openStore, type StoreOptions } from "#store";
import { ServerErrors } from "../api.ts";
import { builtConsoleFolder } from "../console/folder.ts";
import { CONSOLE_PATH } from "../console/plugin.ts";
import type { ServedCertificate } from "../certificates.ts";
import { createControlApi } from "../control-api.ts";
import { EtcdTlsFiles } from "../etcd-tls.ts";
import { listenError } from "../listen-error.ts";
import type { ListenerCertificate } from "../listener-tls.ts";
import { logReleaseCheck } from "../log-level.ts";
import { oidcSettings, publicUrlOf } from "./sign-in.ts";
import { clustersIn, type Parts, has, listensAt, dialRules, reasons } from "./parts.ts";

export async function startControlApi(parts: Parts): Promise<void> {
  const { host, settings, stack } = parts;
  if (!has(settings, "registry") || !has(settings, "config-server")) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `registry and config-server share one control API and must start together. Name both or neither in ${spellings("roles")}.`,
    );
  }
  const twice = settings.configSources.find(({ name }, at, all) => all.findIndex((one) => one.name === name) !== at);
  if (twice) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `Two config sources are named "${twice.name}". Give each a unique name: ${spellings("configSources")}.`,
    );
  }
  const filters = await loadFilters(settings.gatewayFilters);
  const { Explainer, explainPlugin, gatewayCheckPlugin } = await loadExplain();
  let refusing: AppError | undefined;
  const store = stack.use(
    await openStore(host, await storeOptions(host, settings, { stack, onRefusing: (error) => (refusing = error) })),
  );
  const control = stack.use(
    await createControlApi(host, {
      store,
      releaseChecks: [gatewayReleaseCheckWith(filters), flagsReleaseCheck, logReleaseCheck, serviceRulesReleaseCheck],
      exposed: !isLoopback(settings.host),
      hostNames: [...settings.tlsNames, hostname()],
      tls: await parts.listenerCertificate.tlsAt(settings.host, { isApi: true }),
      trustDomain: settings.trustDomain,
      consoleFolder: builtConsoleFolder(),
      startMs: settings.storeStartSeconds * 1000,
      probeRules: {
        refuse: settings.probeRefuse,
        loopback: settings.probeLoopback,
        metadata: false,
        writes: settings.probeWrites,
        own: parts.listeners,
      },
      configSources: settings.configSources,
      secretKeys: secretKeysOf(host, settings),
      oidc: await oidcSettings(settings),
      publicUrl: () => publicUrlOf(parts),
      notReady: () => reasons(parts),
      certificates: () => parts.certificates,
      degraded: () => (refusing ? [`store: ${refusing.message}`] : []),
      extend: (app, access) => {
        const token = access.internalToken({ name: "explain", policies: ["viewer"] });
        const client = new Client(host, { transport: injectTransport(app), token });
        const live = (namespace: string) => clustersIn(parts, namespace);
        const explainer = new Explainer(host, { client, filters, dial: dialRules(parts), live });
        explainPlugin(app, explainer);
        gatewayCheckPlugin(app, explainer);
      },
    }),
  );
  parts.control = control;
  await parts.listenerCertificate.start(control.authority);
  // The authority's own certificates renew themselves, so their end is not worth a warning.
  if (settings.tlsCertFile !== undefined) parts.certificates.push(endOf(parts.listenerCertificate));
  const address = `${settings.host}:${settings.port}`;
  try {
    parts.addresses.controlApi = await control.app.listen({ host: settings.host, port: settings.port });
    parts.addresses.console = `${parts.addresses.controlApi}${CONSOLE_PATH}`;
    listensAt(parts, control.app);
  } catch (error) {
    throw listenError(error, address, spellings("port"));
  }
}

/** The operator's certificate, whose end moves when its file is replaced. */
function endOf(certificate: ListenerCertificate): ServedCertificate {
  return {
    name: "listeners",
    get expiresAtMs() {
      return certificate.expiresAtMs ?? Infinity;
    },
  };
}

/**
 * The source of the keys for secrets. A key is created automatically only for a store that belongs to this process alone. The members of a
 * cluster must share their keys, so there the operator provides them.
 */
function secretKeysOf(host: Host, { secretKeyFile, secretKeyCommand, store, data }: Settings): KeySource | undefined {
  const [program, ...args] = secretKeyCommand;
  if (program !== undefined && secretKeyFile !== undefined) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `Keys for secrets can come from a file or from a program, but not from both. Set only one of ${spellings("secretKeyFile")}; ${spellings("secretKeyCommand")}.`,
    );
  }
  if (program !== undefined) {
    if (!isAbsolute(program)) {
      throw ServerErrors.SETTINGS_CONFLICT(`"${program}" is not an absolute path: ${spellings("secretKeyCommand")}.`);
    }
    return keyCommand(host, [program, ...args]);
  }
  if (secretKeyFile !== undefined) return keyFile(secretKeyFile);
  if (store === "etcd") return undefined;
  const path = join(data, "secret-keys");
  if (store === "lmdb") {
    host.log.warn(
      { path },
      `the key for secrets is in the same folder as the store, so a copy of ${data} contains both. Keep it elsewhere: ${spellings("secretKeyFile")}; or ${spellings("secretKeyCommand")}`,
    );
  }
  return ownKeyFile(host, path);
}

/**
 * The options to open the store of the settings. `stack` owns what they need, and `onRefusing` is called when the store begins to reject
 * writes, with the reason.
 */
export async function storeOptions(
  host: Host,
  settings: Settings,
  {
    stack,
    onRefusing,
  }: { readonly stack: AsyncDisposableStack; readonly onRefusing?: (error: AppError | undefined) => void },
): Promise<StoreOptions> {
  if (settings.store === "memory") return { engine: "memory" };
  if (settings.store === "etcd") {
    const tls = stack.use(new EtcdTlsFiles(host, settings));
    await tls.start();
    return {
      engine: "etcd",
      endpoints: settings.etcdUrls,
      tls,
      ...(settings.etcdUsername === undefined
        ? {}
        : { username: settings.etcdUsername, password: settings.etcdPassword ?? "" }),
    };
  }
  return {
    engine: "lmdb",
    folder: join(settings.data, "store"),
    onRefusing: (error) => onRefusing?.(error),
  };
}
