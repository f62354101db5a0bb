/** Three services that say what they saw, behind a gateway with a config, and a client that can say any Host. */
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { GatewaySettings } from "#gateway";
import { instance, runGateway, upstream, type Running, type Upstream } from "./kit.ts";

export interface Seen {
  readonly service: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string | undefined>;
  readonly body: string;
}

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** The request as the service received it. @throws when the gateway answered itself */
  readonly seen: Seen;
}

export interface Asked {
  readonly method?: string;
  readonly host?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string;
}

export interface World extends AsyncDisposable {
  readonly running: Running;
  readonly services: Readonly<Record<"orders" | "canary" | "shadow", Upstream>>;
  readonly ask: (path: string, asked?: Asked) => Promise<Answered>;
}

type Handle = (request: IncomingMessage, response: ServerResponse, body: string) => boolean | void;

/** `handle`: what a service does other than to echo; true when it did. */
export async function world(
  config: object | string,
  options: { handle?: Handle; settings?: Partial<GatewaySettings> } = {},
): Promise<World> {
  const stack = new AsyncDisposableStack();
  const echo = async (service: string) =>
    stack.use(
      await upstream((request, response, body) => {
        if (options.handle?.(request, response, body) === true) return;
        response.setHeader("content-type", "application/json");
        const { method, url, headers } = request;
        response.end(JSON.stringify({ service, method, url, headers, body }));
      }),
    );
  const services = { orders: await echo("orders"), canary: await echo("canary"), shadow: await echo("shadow") };
  const instances = Object.entries(services).map(([service, { port }]) =>
    instance(port, { service, id: `${service}-1` }),
  );
  const running = stack.use(await runGateway(config, instances, options.settings as never));
  return {
    running,
    services,
    ask: (path, asked) => ask(running.ports.httpPort, path, asked),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** On a connection of its own. */
export function ask(
  port: number,
  path: string,
  { method = "GET", host = "a.example", headers = {}, body }: Asked = {},
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: "127.0.0.1", port, path, method, agent: false, headers: { host, ...headers } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const bytes = Buffer.concat(chunks);
          const text = bytes.toString("utf8");
          const { statusCode: status = 0, headers } = response;
          resolve({
            status,
            headers,
            bytes,
            text,
            get seen() {
              const seen = JSON.parse(text) as Seen;
              if (seen.service === undefined) throw new Error(`the gateway answered itself: ${status} ${text}`);
              return seen;
            },
          });
        });
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}
