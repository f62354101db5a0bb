/**
 * The common part of the plugins of all frameworks: the client, the registration of the server once it listens, and the answer of the
 * health
 * route.
 */
import type { ConnectOptions } from "../connect-options.ts";
import { connect, type Posthouse } from "../connect.ts";
import type { ListeningServer } from "../registration/own-address.ts";
import type { RegisterOptions, ServiceRegistration } from "../registration/registration.ts";

/** The path of the health route, unless the options set another one. */
const HEALTH_PATH = "/healthz";
const OK = 200;
const UNAVAILABLE = 503;

export interface HostedServiceOptions extends ConnectOptions {
  /** The name of the service. It is also the app, unless `app` is given. @default the app */
  readonly service?: string | undefined;
  /** A client that exists already; it then stays open. Absent: one is created, and closed with the server. */
  readonly client?: Posthouse | undefined;
  /** Path of the health route; `false`: none. @default "/healthz" */
  readonly healthPath?: string | false | undefined;
  /**
   * Throws while the service cannot serve. The health route then answers 503, and the registration's TTL check `health` is critical.
   * Absent: the service is healthy while it runs.
   */
  readonly health?: (() => unknown) | undefined;
  /** Further options of the registration; `false`: the service is not registered. */
  readonly register?: Omit<RegisterOptions, "server" | "service"> | false | undefined;
}

export interface HealthAnswer {
  readonly status: number;
  readonly body: { readonly status: "passing" | "critical"; readonly registration: string; readonly reason?: string };
}

/** A service inside a web framework. */
export class HostedService {
  readonly client: Posthouse;
  readonly healthPath: string | undefined;
  readonly #options: HostedServiceOptions;
  #registration: Promise<ServiceRegistration> | undefined;
  #registered: ServiceRegistration | undefined;

  constructor(options: HostedServiceOptions) {
    const { service, client, healthPath = HEALTH_PATH } = options;
    this.#options = options;
    this.client = client ?? connect({ ...options, app: options.app ?? service });
    this.healthPath = healthPath === false ? undefined : healthPath;
  }

  /**
   * Registers the server that listens now. `stop`: how the framework closes the server; it runs after the drain when a signal arrives.
   * @throws the control plane's rejection
   */
  async listening(server: ListeningServer, stop: () => Promise<unknown>): Promise<void> {
    const { service, register = {}, health } = this.#options;
    if (register === false || this.#registration) return;
    const own = health ? [{ type: "ttl", probe: health } as const] : [];
    this.#registration = this.client.register({
      ...register,
      service,
      // Only for its address: the framework closes its server itself.
      server: { address: () => server.address(), close: (done) => done?.() },
      checks: [...(register.checks ?? []), ...own],
      onStopped: async () => {
        await stop();
        await register.onStopped?.();
      },
    });
    this.#registered = await this.#registration;
  }

  async health(): Promise<HealthAnswer> {
    const registration = this.#registered?.state ?? "pending";
    try {
      await this.#options.health?.();
      return { status: OK, body: { status: "passing", registration } };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { status: UNAVAILABLE, body: { status: "critical", registration, reason } };
    }
  }

  /** Stops new requests and removes the instance. Resolves once every subscriber has seen it; then the server may close. */
  async drain(): Promise<void> {
    // A rejected registration was reported when it was made.
    const registration = await this.#registration?.catch(() => undefined);
    await registration?.close();
  }

  /** After the server has closed. */
  async close(): Promise<void> {
    await this.drain();
    if (!this.#options.client) await this.client.close();
  }
}
