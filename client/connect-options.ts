/** The options of `connect`. */
import type { AppError, Log } from "#base";
import type { ServiceCallOptions } from "./fetch/call-options.ts";
import type { ServiceTls } from "./fetch/service-dispatcher.ts";

/** Each option with a variable in `CLIENT_VARIABLES` may also come from the environment. */
export interface ConnectOptions {
  /**
   * `http://host:port` of the control API or of an agent, or of several members, which are tried in turn. `unix:/path/agent.sock`: the
   * Unix socket of an agent. @default "http://127.0.0.1:8500"
   */
  readonly url?: string | readonly string[] | undefined;
  /** PEM file of the authorities that the control API is verified by, for https URLs. @default those of the system */
  readonly controlCaFile?: string | undefined;
  /** SHA-256 fingerprint in hex of the authority that the control API is verified by. `posthouse up` prints it. */
  readonly controlFingerprint?: string | undefined;
  /** Bearer token. A function is called for each request, so that the token can be renewed. */
  readonly token?: string | (() => string | undefined) | undefined;
  /** The environment. @default "default" */
  readonly namespace?: string | undefined;
  /** The app whose config this is, and the service that `register` registers by default. */
  readonly app?: string | undefined;
  /** Its values override those of profile `default`. @default "default" */
  readonly profile?: string | undefined;
  /**
   * Name under which this process acknowledges, and gradual releases select it: letters, digits, `.`, `_` and `-`.
   * @default host name and process id
   */
  readonly instance?: string | undefined;
  /** Labels by which gradual releases select this process, such as `{ zone: "eu" }`. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** The zone of this process: registrations have it, and calls prefer instances in it. */
  readonly zone?: string | undefined;
  /** The address under which others reach this process. @default that of the server, or of this machine */
  readonly address?: string | undefined;
  /** Settings of calls to services of this namespace, by service. */
  readonly services?: Readonly<Record<string, ServiceCallOptions>> | undefined;
  /** Authorities to trust and a certificate to present in calls to services with TLS. */
  readonly tls?: ServiceTls | undefined;
  /**
   * File of the last config, with mode 0600, for a start while no server answers; beside it, `FILE.services` has the instances of the
   * services that were called. Its folder must exist. Absent: such a start fails.
   */
  readonly lastKnownGoodFile?: string | undefined;
  /**
   * Called once for each problem that no call throws: a value in a watch that is not valid, a server that is away or older, a file
   * that cannot be written.
   */
  readonly onProblem?: ((problem: AppError) => void) | undefined;
  /** A log like pino's. @default warnings and errors, as JSON on standard error */
  readonly log?: Log | undefined;
}
