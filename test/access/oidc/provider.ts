/**
 * A real OpenID provider on loopback for the tests: people with groups, sign-in forms without passwords, and the faults that a provider
 * can have. Its accounts are `NAME` with the groups of `people`.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from "jose";
import type { Configuration } from "oidc-provider";

export const CLIENT_ID = "posthouse";
export const CLIENT_SECRET = "a-secret-of-the-tests";

export interface TestPerson {
  readonly groups?: unknown;
  readonly claims?: Readonly<Record<string, unknown>>;
}

export interface TestProvider extends AsyncDisposable {
  readonly issuer: string;
  readonly port: number;
  /** Requests that reached it, as `METHOD path`. */
  readonly requests: string[];
  people: Readonly<Record<string, TestPerson>>;
  /** Answers in place of the provider, as long as it returns true. */
  intercept: ((path: string, answer: (status: number, body: string, type?: string) => void) => boolean) | undefined;
  /** Replaces the signing keys. */
  rotateKeys(): Promise<void>;
  /** Sends browsers back to that address, too: of a control API whose port was not known before. */
  allowRedirect(uri: string): Promise<void>;
  /** Closes its port; `start` opens the same port again. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

export interface TestProviderOptions {
  readonly people: Readonly<Record<string, TestPerson>>;
  readonly redirectUris?: readonly string[];
  /** Claims only in the answer of the user info endpoint, as many providers do. */
  readonly isConform?: boolean;
  /** Seconds for which a code can be used. */
  readonly codeSeconds?: number;
}

export async function startProvider(options: TestProviderOptions): Promise<TestProvider> {
  const requests: string[] = [];
  let server = createServer();
  await listen(server, 0);
  const { port } = server.address() as AddressInfo;
  const issuer = `http://127.0.0.1:${port}`;
  const redirectUris = [...(options.redirectUris ?? [])];
  let handle = await handlerOf(issuer, { ...options, redirectUris }, () => provider.people);
  const attach = (to: Server) =>
    to.on("request", (request, response) => {
      const path = request.url ?? "";
      requests.push(`${request.method} ${path.split("?", 1)[0]}`);
      const answer = (status: number, body: string, type = "application/json") =>
        void response.writeHead(status, { "content-type": type }).end(body);
      if (provider.intercept?.(path, answer)) return;
      void handle(request, response);
    });
  attach(server);
  const provider: TestProvider = {
    issuer,
    port,
    requests,
    people: options.people,
    intercept: undefined,
    async rotateKeys() {
      handle = await handlerOf(issuer, { ...options, redirectUris }, () => provider.people);
    },
    async allowRedirect(uri) {
      redirectUris.push(uri);
      await provider.rotateKeys();
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    async start() {
      server = createServer();
      attach(server);
      await listen(server, port);
    },
    async [Symbol.asyncDispose]() {
      if (server.listening) await provider.stop();
    },
  };
  return provider;
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
}

type Handler = (...exchange: Parameters<Parameters<typeof createServer>[1] & {}>) => unknown;

async function handlerOf(
  issuer: string,
  { redirectUris = [], isConform = true, codeSeconds = 60 }: TestProviderOptions,
  people: () => TestProvider["people"],
): Promise<Handler> {
  const configuration: Configuration = {
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        grant_types: ["authorization_code"],
        redirect_uris: [...redirectUris],
        response_types: ["code"],
        id_token_signed_response_alg: "ES256",
      },
    ],
    jwks: { keys: [await signingKey()] },
    scopes: ["openid", "profile", "email", "groups"],
    claims: {
      openid: ["sub"],
      profile: ["preferred_username"],
      email: ["email", "email_verified"],
      groups: ["groups"],
    },
    conformIdTokenClaims: isConform,
    ttl: { AuthorizationCode: codeSeconds, AccessToken: 300, IdToken: 300, Interaction: 600, Session: 600, Grant: 600 },
    cookies: { keys: ["a-key-of-the-tests"] },
    pkce: { required: () => true },
    findAccount: (_context, sub) => {
      const person = Object.hasOwn(people(), sub) ? people()[sub] : undefined;
      if (!person) return undefined;
      const { groups, claims = {} } = person;
      return {
        accountId: sub,
        claims: () => ({
          sub,
          email: `${sub}@example.com`,
          email_verified: true,
          preferred_username: sub,
          ...(groups === undefined ? {} : { groups }),
          ...claims,
        }),
      };
    },
    features: { devInteractions: { enabled: true } },
  };
  const { Provider } = await quietly(() => import("oidc-provider"));
  const provider = await quietly(() => new Provider(issuer, configuration));
  return provider.callback();
}

async function signingKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = await exportJWK(privateKey);
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: "ES256", use: "sig" };
}

/** The library warns about state in memory and about its forms for development. Both are intended here. */
async function quietly<T>(make: () => T | Promise<T>): Promise<T> {
  const { warn, info } = console;
  console.warn = () => {};
  console.info = () => {};
  try {
    return await make();
  } finally {
    console.warn = warn;
    console.info = info;
  }
}
