/**
 * The NestJS module, `posthouse/nestjs`: gives the client by injection, registers the server when it listens, serves the health route,
 * and drains in the shutdown hooks. Decorators are applied by hand, since this file runs unbuilt.
 */
import { Global, Inject, Module, type DynamicModule, type InjectionToken, type Provider } from "@nestjs/common";
import { HttpAdapterHost } from "@nestjs/core";
import type { Server } from "node:http";
import type { Posthouse } from "../connect.ts";
import { withTraceOf, type IncomingHeaders } from "../fetch/trace-context.ts";
import { HostedService, type HostedServiceOptions } from "./hosted-service.ts";

/** Injects the client: `constructor(@InjectPosthouse() private readonly posthouse: Posthouse)`. */
export const POSTHOUSE: unique symbol = Symbol("posthouse");
export const InjectPosthouse = (): PropertyDecorator & ParameterDecorator => Inject(POSTHOUSE);

const OPTIONS = Symbol("posthouse options");
const SERVICE = Symbol("posthouse service");

export type PosthouseModuleOptions = HostedServiceOptions;

export interface PosthouseModuleAsyncOptions {
  readonly imports?: DynamicModule["imports"];
  readonly inject?: readonly InjectionToken[];
  readonly useFactory: (...injected: any[]) => PosthouseModuleOptions | Promise<PosthouseModuleOptions>;
}

/** The part of an HTTP adapter that the module uses: both Express and Fastify have it. */
interface Adapter {
  use(handler: (request: NestRequest, response: NestResponse, next: () => void) => void): unknown;
  getHttpServer(): Server;
}
interface NestRequest {
  readonly url?: string;
  readonly method?: string;
  readonly headers: IncomingHeaders;
}
interface NestResponse {
  writeHead(status: number, headers: Record<string, string>): { end(text: string): unknown };
}

/** Ties the service to the life of the application. */
export class PosthouseModule {
  readonly #service: HostedService;
  readonly #host: HttpAdapterHost;

  constructor(service: HostedService, host: HttpAdapterHost) {
    this.#service = service;
    this.#host = host;
    // Before the routes of the application, which are added when it starts.
    this.#adapter?.use((request, response, next) => this.#handle(request, response, next));
  }

  /** Undefined in an application without HTTP, such as a worker: it has the client only. */
  get #adapter(): Adapter | undefined {
    return this.#host.httpAdapter as Adapter | undefined;
  }

  onModuleInit(): void {
    const server = this.#adapter?.getHttpServer();
    if (!server) return;
    server.once("listening", () => {
      // The application's own shutdown hooks close it.
      this.#service
        .listening(server, async () => {})
        .catch((error: unknown) => {
          process.emitWarning(error instanceof Error ? error : String(error), { code: "POSTHOUSE_NOT_REGISTERED" });
        });
    });
  }

  #handle(request: NestRequest, response: NestResponse, next: () => void): void {
    const [path] = (request.url ?? "").split("?");
    if (path !== this.#service.healthPath || request.method !== "GET") return withTraceOf(request.headers, next);
    void this.#answerHealth(response);
  }

  async #answerHealth(response: NestResponse): Promise<void> {
    const { status, body } = await this.#service.health();
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }

  /** Connections are still open here; Nest closes them afterwards. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.#service.drain();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#service.close();
  }

  /** `PosthouseModule.forRoot({ service: "orders" })`, with `app.enableShutdownHooks()` for a drain at SIGTERM. */
  static forRoot(options: PosthouseModuleOptions = {}): DynamicModule {
    return moduleWith([{ provide: OPTIONS, useValue: options }], undefined);
  }

  /** The same with options that other providers make. */
  static forRootAsync({ imports, inject = [], useFactory }: PosthouseModuleAsyncOptions): DynamicModule {
    return moduleWith([{ provide: OPTIONS, inject: [...inject], useFactory }], imports);
  }
}
Inject(SERVICE)(PosthouseModule, undefined, 0);
Inject(HttpAdapterHost)(PosthouseModule, undefined, 1);
Global()(PosthouseModule);
Module({})(PosthouseModule);

function moduleWith(options: readonly Provider[], imports: DynamicModule["imports"]): DynamicModule {
  return {
    module: PosthouseModule,
    ...(imports ? { imports } : {}),
    providers: [
      ...options,
      // The hooks of the application stop the service, so it handles no signal itself.
      { provide: SERVICE, inject: [OPTIONS], useFactory: hosted },
      { provide: POSTHOUSE, inject: [SERVICE], useFactory: ({ client }: HostedService): Posthouse => client },
    ],
    exports: [POSTHOUSE],
  };
}

function hosted(options: PosthouseModuleOptions): HostedService {
  const { register = {} } = options;
  return new HostedService({ ...options, register: register === false ? false : { ...register, stopOn: false } });
}
