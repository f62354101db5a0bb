/**
 * Finds the problems of a gateway config before it is used: those of its shape, and those beyond it, such as names that
 * must exist or be unique, routes that match the same requests, and keys fetched without TLS.
 */
import { canonicalJson, hostAddressProblem } from "#base";
import { isForbiddenAddress } from "#base/address-class";
import { Compile } from "typebox/compile";
import { shapeProblems } from "#base/shape";
import {
  BALANCES,
  GATEWAY_DEFAULTS,
  GatewayConfig,
  OWN_LISTENER,
  type ConfigProblem,
  type Listener,
} from "../../api.ts";
import { routeProblems } from "./route.ts";
import { hostProblems } from "./match.ts";
import type { RouteContext } from "./problems.ts";
import { parseCidr } from "../request/cidr-set.ts";
import { NO_FILTERS, type Filters } from "../request/filter.ts";
import { discoveryProblem, keyUrlProblem } from "../callers/key-urls.ts";
import { conflicts, headlessRegexes, shadows } from "../routing/shadowed-routes.ts";

/** Problems in one report. A longer list does not help. */
const PROBLEMS_MAX = 50;

const HASHING_BALANCES = Object.entries(BALANCES).flatMap(([name, { usesHashBy }]) => (usesHashBy ? [name] : []));

export type CheckedConfig =
  | {
      readonly config: GatewayConfig;
      readonly problems: readonly [];
      /** Allowed, but most likely a mistake: routes that can never be used, or that slow down all others. */
      readonly warnings: readonly ConfigProblem[];
    }
  | { readonly config?: undefined; readonly problems: readonly ConfigProblem[] };

let validator: ReturnType<typeof Compile<typeof GatewayConfig>> | undefined;

/** `tree`: the parsed document; an empty one is a gateway without routes. `filters`: the filters that routes may use. */
export function checkGatewayConfig(tree: unknown, filters: Filters = NO_FILTERS): CheckedConfig {
  const value = tree ?? {};
  // The compiled check is a hundred times faster than the one that finds the problems.
  validator ??= Compile(GatewayConfig);
  if (!validator.Check(value)) {
    return { problems: shapeProblems(GatewayConfig, value).slice(0, PROBLEMS_MAX) };
  }
  const config: GatewayConfig = value;
  const context = contextOf(config, filters);
  const problems = [
    ...providerProblems(config),
    ...clusterProblems(config),
    ...listenerProblems(config),
    ...proxyProblems(config),
    ...consumerProblems(config, context),
    ...duplicates(config.routes ?? [], "/routes", "route"),
    ...(config.routes ?? []).flatMap((route, index) => [...routeProblems(route, `/routes/${index}`, context)]),
    ...(config.hints ?? []).flatMap((hint, index) => [...hintProblems(hint, `/hints/${index}`, context)]),
  ];
  if (problems.length === 0) problems.push(...conflicts(config));
  if (problems.length > 0) return { problems: problems.slice(0, PROBLEMS_MAX) };
  return { config, problems: [], warnings: [...headlessRegexes(config), ...shadows(config)].slice(0, PROBLEMS_MAX) };
}

function contextOf(config: GatewayConfig, filters: Filters): RouteContext {
  const claimed = (config.routes ?? []).flatMap(({ jwt }) => Object.values(jwt?.forwardClaims ?? {}));
  return {
    providers: new Set(config.jwt?.map(({ name }) => name)),
    clusters: new Set(config.clusters?.map(({ name }) => name)),
    listeners: new Set([OWN_LISTENER, ...(config.listeners ?? []).map(({ name }) => name)]),
    consumers: new Set(config.consumers?.map(({ name }) => name)),
    ownHeaders: new Set(claimed.map((name) => name.toLowerCase())),
    filters,
    shape: (schema, value, pointer) =>
      shapeProblems(schema, value).map((problem) => ({
        ...problem,
        pointer: `${pointer}${problem.pointer}`,
      })),
  };
}

function* duplicates(list: readonly { name: string }[], pointer: string, what: string): Generator<ConfigProblem> {
  const seen = new Set<string>();
  for (const [index, { name }] of list.entries()) {
    if (seen.has(name))
      yield {
        pointer: `${pointer}/${index}/name`,
        message: `Another ${what} is already named "${name}". Names must be unique.`,
      };
    seen.add(name);
  }
}

function* providerProblems({ jwt = [] }: GatewayConfig): Generator<ConfigProblem> {
  yield* duplicates(jwt, "/jwt", "jwt provider");
  for (const [index, provider] of jwt.entries()) {
    const { url, ca, caFile } = provider.jwks ?? {};
    const message = url === undefined ? discoveryProblem(provider.issuer) : keyUrlProblem(url);
    if (message !== undefined) yield { pointer: `/jwt/${index}/${url === undefined ? "issuer" : "jwks/url"}`, message };
    if (ca !== undefined && caFile !== undefined) {
      yield { pointer: `/jwt/${index}/jwks`, message: "Give ca or caFile, not both." };
    }
  }
}

function* clusterProblems({ clusters = [] }: GatewayConfig): Generator<ConfigProblem> {
  yield* duplicates(clusters, "/clusters", "cluster");
  for (const [index, { service, endpoints }] of clusters.entries()) {
    if ((service === undefined) === (endpoints === undefined)) {
      yield { pointer: `/clusters/${index}`, message: "Give either service or endpoints." };
    }
    for (const [at, { address }] of (endpoints ?? []).entries()) {
      const pointer = `/clusters/${index}/endpoints/${at}/address`;
      const unfit = hostAddressProblem(/^\[(.*:.*)\]$/.exec(address)?.[1] ?? address);
      if (unfit !== undefined) yield { pointer, message: `${unfit}.` };
      else if (isForbiddenAddress(address))
        yield {
          pointer,
          message: `${address} is a link-local, metadata, multicast or unspecified address, where no service can be.`,
        };
    }
  }
  for (const [index, { hashBy, balance = "p2c", adaptive }] of clusters.entries()) {
    if (hashBy !== undefined && !BALANCES[balance].usesHashBy) {
      yield {
        pointer: `/clusters/${index}/hashBy`,
        message: `balance: ${balance} does not use hashBy. Remove hashBy, or use balance: ${HASHING_BALANCES.join(" or ")}.`,
      };
    }
    const { min = GATEWAY_DEFAULTS.adaptiveMin, max = GATEWAY_DEFAULTS.adaptiveMax } = adaptive ?? {};
    if (min > max) yield { pointer: `/clusters/${index}/adaptive`, message: `min (${min}) is above max (${max}).` };
  }
  for (const [index, { tls, protocol }] of clusters.entries()) {
    const unfit = tls?.serverName === undefined ? undefined : hostAddressProblem(tls.serverName);
    if (unfit !== undefined) yield { pointer: `/clusters/${index}/tls/serverName`, message: `${unfit}.` };
    if (tls?.ca !== undefined && tls.caFile !== undefined) {
      yield { pointer: `/clusters/${index}/tls`, message: "Give ca or caFile, not both." };
    }
    if (tls && protocol === "h2c") {
      yield {
        pointer: `/clusters/${index}/protocol`,
        message: "h2c does not use TLS. With tls, use h2, grpc or auto.",
      };
    }
  }
}

function* listenerProblems({ listeners = [] }: GatewayConfig): Generator<ConfigProblem> {
  yield* duplicates(listeners, "/listeners", "listener");
  for (const [index, { name, port, tls, hosts = [] }] of listeners.entries()) {
    const pointer = `/listeners/${index}`;
    if ((name === OWN_LISTENER) === (port !== undefined)) {
      const message =
        name === OWN_LISTENER
          ? `The ports of the listener "${OWN_LISTENER}" come from the process's settings. Remove port.`
          : `The listener "${name}" needs a port. Only "${OWN_LISTENER}" has none.`;
      yield { pointer, message };
    }
    if (name === OWN_LISTENER && tls !== undefined) {
      yield {
        pointer: `${pointer}/tls`,
        message: `The listener "${OWN_LISTENER}" serves both HTTP and HTTPS. Remove tls.`,
      };
    }
    const listener = listeners[index] as Listener;
    yield* certificateProblems(listener, pointer);
    yield* clientCertificateProblems(listener, pointer);
    const others = port === undefined ? [] : listeners.slice(0, index).filter((other) => other.port === port);
    for (const other of others) yield* sharingProblems(listener, other, pointer);
    yield* hostProblems(hosts, `${pointer}/hosts`);
  }
}

/** Two listeners on one port: each host belongs to one of them, and TLS settings must agree. */
function* sharingProblems(listener: Listener, other: Listener, pointer: string): Generator<ConfigProblem> {
  const which = `The listener "${other.name}"`;
  if ((listener.tls ?? false) !== (other.tls ?? false)) {
    const message = `${which} uses this port ${other.tls ? "with" : "without"} tls. Listeners of one port must agree.`;
    yield { pointer: `${pointer}/port`, message };
  } else if (demandsOf(listener) !== demandsOf(other)) {
    const message = `${which} uses this port with other clientCertificates. Listeners of one port must have the same.`;
    yield { pointer: `${pointer}/clientCertificates`, message };
  }
  if (!listener.hosts && !other.hosts) {
    yield {
      pointer: `${pointer}/port`,
      message: `${which} already uses this port for every host. Give hosts to one of them.`,
    };
  }
  const taken = new Set(other.hosts?.map((host) => host.toLowerCase()));
  for (const [at, host] of (listener.hosts ?? []).entries()) {
    if (!taken.has(host.toLowerCase())) continue;
    yield { pointer: `${pointer}/hosts/${at}`, message: `${which} already has the host "${host}" on the same port.` };
  }
}

function demandsOf({ clientCertificates: clients }: Listener): string {
  return canonicalJson(clients ? { mode: "require", ...clients } : null);
}

function* certificateProblems(
  { name, tls = false, certificates }: Listener,
  pointer: string,
): Generator<ConfigProblem> {
  if (!certificates) return;
  if (name === OWN_LISTENER) {
    const message = `The certificate of the listener "${OWN_LISTENER}" comes from the process's settings. Remove certificates.`;
    yield { pointer: `${pointer}/certificates`, message };
  } else if (!tls) {
    yield { pointer: `${pointer}/certificates`, message: "Certificates need TLS. Add tls: true." };
  }
  for (const [at, { cert, certFile, key, keyFile }] of certificates.entries()) {
    if ((cert === undefined) === (certFile === undefined) || (key === undefined) === (keyFile === undefined)) {
      yield { pointer: `${pointer}/certificates/${at}`, message: "Give either cert or certFile, and key or keyFile." };
    }
  }
}

function* clientCertificateProblems(
  { name, tls = false, clientCertificates: clients }: Listener,
  pointer: string,
): Generator<ConfigProblem> {
  if (!clients) return;
  const at = `${pointer}/clientCertificates`;
  if (name === OWN_LISTENER) {
    const message = `The listener "${OWN_LISTENER}" also serves without TLS. Use a listener with its own port.`;
    yield { pointer: at, message };
  } else if (!tls) yield { pointer: at, message: "Client certificates need TLS. Add tls: true." };
  if ((clients.ca === undefined) === (clients.caFile === undefined)) {
    yield { pointer: at, message: "Give either ca or caFile." };
  }
}

function* proxyProblems({ trustedProxies = [] }: GatewayConfig): Generator<ConfigProblem> {
  for (const [index, cidr] of trustedProxies.entries()) {
    const range = parseCidr(cidr);
    const pointer = `/trustedProxies/${index}`;
    if (!range) yield { pointer, message: `"${cidr}" is not a network. Give one such as 10.0.0.0/8, or an address.` };
    else if (range[1] === 0)
      yield { pointer, message: `"${cidr}" trusts every client to state its own address. List the proxies only.` };
  }
}

function* consumerProblems({ consumers = [] }: GatewayConfig, { providers }: RouteContext): Generator<ConfigProblem> {
  yield* duplicates(consumers, "/consumers", "consumer");
  const keys = new Map<string, string>();
  const claims = new Map<string, string>();
  for (const [index, { name, keys: own = [], jwt = [] }] of consumers.entries()) {
    for (const [at, { sha256 }] of own.entries()) {
      const other = keys.get(sha256);
      if (other !== undefined) {
        yield { pointer: `/consumers/${index}/keys/${at}`, message: `The consumer "${other}" has the same key.` };
      }
      keys.set(sha256, name);
    }
    for (const [at, { provider, claim = "sub", value }] of jwt.entries()) {
      const pointer = `/consumers/${index}/jwt/${at}`;
      if (!providers.has(provider)) {
        yield {
          pointer: `${pointer}/provider`,
          message: `Unknown provider "${provider}". Add it to jwt, or use one of its names.`,
        };
      }
      const identity = JSON.stringify([provider, claim, value]);
      const other = claims.get(identity);
      if (other !== undefined) yield { pointer, message: `The consumer "${other}" has the same claim.` };
      claims.set(identity, name);
    }
  }
}

/** A hint's policy is checked like the route that it would become. */
function* hintProblems(
  hint: NonNullable<GatewayConfig["hints"]>[number],
  pointer: string,
  context: RouteContext,
): Generator<ConfigProblem> {
  const { service: _service, within = [], hosts = [], methods: _methods, ...policies } = hint;
  const route = { name: "hint", match: {}, service: "hint", ...policies };
  yield* routeProblems(route, pointer, context);
  yield* hostProblems(hosts, `${pointer}/hosts`);
  for (const [at, prefix] of within.entries()) {
    const match = { path: { prefix } };
    for (const problem of routeProblems({ name: "hint", service: "hint", match }, "", context)) {
      yield { pointer: `${pointer}/within/${at}`, message: problem.message };
    }
  }
}
