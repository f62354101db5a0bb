/** undici's dispatcher of calls to services. Requests to any other origin, such as after a redirect, go to a plain agent. */
import { Agent, type Dispatcher } from "undici";
import type { Host } from "#base";
import { isServiceHost, serviceOf, type ServiceAddress } from "../core/service-url.ts";
import type { ServiceCatalog } from "../discovery/service-catalog.ts";
import { ClientErrors } from "../errors.ts";
import { callRules, type CallRules, type ServiceCallOptions } from "./call-options.ts";
import { ServiceCall, type CallLimits, type CallParts } from "./service-call.ts";
import { ServiceTarget } from "./service-target.ts";
import type { TrafficReporter } from "./traffic-reporter.ts";

/** Milliseconds to establish a connection, and without data inside an answer: those of a gateway. */
const CONNECT_MS = 2_000;
const BODY_IDLE_MS = 300_000;
/** Origins whose targets are kept: far more than the services that can be watched at once. */
const TARGETS_MAX = 1_024;

/** Authorities and a client certificate, as for `tls.connect`. */
export interface ServiceTls {
  readonly ca?: string | readonly string[] | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface ServiceDispatcherOptions {
  readonly catalog: ServiceCatalog;
  readonly traffic: TrafficReporter;
  readonly namespace: string;
  readonly zone: string | undefined;
  readonly tls: ServiceTls | undefined;
  readonly services: Readonly<Record<string, ServiceCallOptions>>;
}

export class ServiceDispatcher implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: ServiceDispatcherOptions;
  readonly #agent: Agent;
  readonly #parts: CallParts;
  readonly #rules = new Map<string, CallRules>();
  readonly #targets = new Map<string, ServiceTarget>();
  readonly #closing = new AbortController();

  constructor(host: Host, options: ServiceDispatcherOptions) {
    this.#host = host;
    this.#options = options;
    const { namespace, services, tls } = options;
    for (const [service, given] of Object.entries(services))
      this.#rules.set(`${namespace}/${service}`, callRules({ namespace, service }, given));
    const { ca, cert, key } = tls ?? {};
    this.#agent = new Agent({
      connect: {
        timeout: CONNECT_MS,
        ...(ca === undefined ? {} : { ca: typeof ca === "string" ? ca : [...ca] }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
      },
      // The call's own deadline ends the wait for a head, over all attempts.
      headersTimeout: 0,
      bodyTimeout: BODY_IDLE_MS,
    });
    this.#parts = {
      host,
      dispatch: this.#agent.dispatch.bind(this.#agent),
      traffic: options.traffic,
      onSilent: (target, endpoint) => void target.probe(endpoint, this.#closing.signal),
    };
  }

  /** Sends a request to the service that the origin names, and otherwise to the origin itself. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler, limits: CallLimits): boolean {
    const origin = String(options.origin);
    const known = this.#targets.get(origin);
    if (known?.watched.instances) {
      new ServiceCall(this.#parts, known, withHost(options, origin), { handler, ...limits }).start();
      return true;
    }
    return this.#dispatchNew(origin, options, { handler, ...limits });
  }

  #dispatchNew(
    origin: string,
    options: Dispatcher.DispatchOptions,
    call: CallLimits & { handler: Dispatcher.DispatchHandler },
  ): boolean {
    let target: ServiceTarget | undefined;
    try {
      target = this.#targetOf(origin);
    } catch (error) {
      call.handler.onError?.(error as Error);
      return true;
    }
    if (!target) return this.#agent.dispatch(options, call.handler);
    const first = new ServiceCall(this.#parts, target, withHost(options, origin), call);
    first.start();
    if (target.watched.instances) return true;
    this.#options.catalog.known(target.watched).then(
      () => first.resolved(),
      (error: unknown) => first.resolved(error),
    );
    return true;
  }

  /** Undefined: the origin is not a service. @throws CLIENT_SERVICE_URL_INVALID, CLIENT_CLOSED */
  #targetOf(origin: string): ServiceTarget | undefined {
    const url = new URL(origin);
    const address = serviceOf(url, this.#options.namespace);
    if (!address && !isServiceHost(url.hostname)) return undefined;
    if (!address || url.port !== "") throw invalidUrl(origin);
    const watched = this.#options.catalog.of(address);
    const known = this.#targets.get(origin);
    // After the service was forgotten, it is watched again.
    if (known?.watched === watched) return known;
    const { zone } = this.#options;
    const target = new ServiceTarget(this.#host, {
      watched,
      rules: this.#rulesOf(address),
      secure: address.secure,
      zone,
    });
    const [oldest] = this.#targets.keys();
    if (this.#targets.size >= TARGETS_MAX && oldest !== undefined) this.#targets.delete(oldest);
    this.#targets.set(origin, target);
    return target;
  }

  #rulesOf({ namespace, service }: ServiceAddress): CallRules {
    return this.#rules.get(`${namespace}/${service}`) ?? callRules({ namespace, service });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#agent.destroy();
    await this.#options.traffic[Symbol.asyncDispose]();
    await this.#options.catalog[Symbol.asyncDispose]();
  }
}

/** The service's name as Host: the instance's address would say nothing about the request. fetch drops a Host of the caller. */
function withHost(options: Dispatcher.DispatchOptions, origin: string): Dispatcher.DispatchOptions {
  const headers = (options.headers ?? {}) as Record<string, string>;
  return { ...options, headers: { ...headers, host: origin.slice(origin.indexOf("://") + 3) } };
}

function invalidUrl(origin: string) {
  return ClientErrors.SERVICE_URL_INVALID(
    `${JSON.stringify(origin)} does not name a service. Use http://SERVICE.service/ or http://SERVICE.service.NAMESPACE.ns/, without a port.`,
    { extra: { origin } },
  );
}
