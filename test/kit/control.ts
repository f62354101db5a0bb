/** A control API in this process over a store of its own, and a client that goes straight into it. */
import type { FastifyInstance } from "fastify";
import type { Access, OidcSettings } from "#access";
import type { Host } from "#base";
import { Client, injectTransport } from "#client";
import type { KeySource, ReleaseCheck, SourceSettings } from "#config-server";
import { OWN_HOST_RULES, type ReachRules } from "#health";
import type { TlsSource } from "#http";
import { createControlApi } from "#server/control-api";
import { openMemoryStore, type Store } from "#store";
import { testHost } from "./host.ts";

export interface TestControl extends AsyncDisposable {
  readonly host: Host;
  readonly store: Store;
  readonly app: FastifyInstance;
  readonly access: Access;
  readonly client: Client;
  /** The operator's token. */
  readonly token: string;
  /** A request as the operator, or with the headers given. */
  call(
    method: string,
    url: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; json: Record<string, unknown>; headers: Record<string, unknown> }>;
}

export interface TestControlOptions {
  readonly host?: Host;
  readonly store?: Store;
  readonly releaseChecks?: readonly ReleaseCheck[];
  readonly configSources?: readonly SourceSettings[];
  readonly secretKeys?: KeySource;
  readonly probeRules?: ReachRules;
  readonly consoleFolder?: string;
  /** Names of this host beside loopback. */
  readonly hostNames?: readonly string[];
  /** The identity provider of people, and the address that it sends browsers back to. */
  readonly oidc?: OidcSettings;
  readonly publicUrl?: () => string | undefined;
  /** The certificate of its listener. Absent: plain HTTP. */
  readonly tls?: TlsSource;
  /** Routes of a role that the control API itself does not have, such as explanations of gateways. */
  readonly extend?: (app: FastifyInstance, access: Access) => void;
}

export async function withControl(options: TestControlOptions = {}): Promise<TestControl> {
  await using stack = new AsyncDisposableStack();
  const host = options.host ?? testHost();
  const store = options.store ?? stack.use(openMemoryStore(host));
  const control = stack.use(
    await createControlApi(host, {
      store,
      releaseChecks: options.releaseChecks ?? [],
      configSources: options.configSources ?? [],
      exposed: false,
      // Tests have nothing but loopback to probe.
      probeRules: options.probeRules ?? OWN_HOST_RULES,
      secretKeys: options.secretKeys,
      ...(options.tls === undefined ? {} : { tls: { source: options.tls, requestClientCertificate: true } }),
      startMs: 5_000,
      hostNames: options.hostNames ?? [],
      ...(options.consoleFolder === undefined ? {} : { consoleFolder: options.consoleFolder }),
      ...(options.oidc === undefined ? {} : { oidc: options.oidc }),
      ...(options.publicUrl === undefined ? {} : { publicUrl: options.publicUrl }),
      ...(options.extend === undefined ? {} : { extend: options.extend }),
      notReady: () => [],
    }),
  );
  const token = control.firstToken?.token ?? control.access.internalToken({ name: "operator", policies: ["operator"] });
  const owned = stack.move();
  return {
    host,
    store,
    app: control.app,
    access: control.access,
    token,
    client: new Client(host, { transport: injectTransport(control.app), token }),
    async call(method, url, body, headers = { authorization: `Bearer ${token}` }) {
      const answer = await control.app.inject({
        method: method as "GET",
        url,
        headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        ...(body === undefined ? {} : { payload: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = answer.payload;
      return {
        status: answer.statusCode,
        json: text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : {},
        headers: answer.headers,
      };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
