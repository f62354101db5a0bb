/**
 * The control API: registry, config server, locks and access on one Fastify instance over one store. Watches end before the
 * listener closes; otherwise closing would wait for them forever.
 */
import type { FastifyInstance } from "fastify";
import type { Access, IssuedToken } from "#access";
import { deadline, TaskGroup, type Host } from "#base";
import { type AuditSink, closeHttpServer } from "#http";
import type { CertificateAuthority } from "#identity";
import { MEMBERS_PREFIX, type Registry } from "#registry";
import type { Store } from "#store";
import { ServerErrors } from "./api.ts";
import { followCallers } from "./control-api/caller-changes.ts";
import { compactRegularly } from "./control-api/compaction.ts";
import { createRoutes, type RoutesOptions } from "./control-api/routes.ts";
import { createServices, startReading, startUpkeep, type ServicesOptions } from "./control-api/services.ts";

export interface ControlApiOptions extends ServicesOptions, RoutesOptions {
  /** Milliseconds that the first read of the store may take. */
  readonly startMs: number;
}

export interface ControlApi extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly access: Access;
  readonly registry: Registry;
  readonly authority: CertificateAuthority;
  /** Takes refusals of other parts of this process, too. */
  readonly audit: AuditSink;
  /** The operator's token. Only at the very first start. */
  readonly firstToken: IssuedToken | undefined;
}

/** Ready for listening or injection: the store is read and tokens are checked. @throws SERVER_START_TIMEOUT */
export async function createControlApi(host: Host, options: ControlApiOptions): Promise<ControlApi> {
  const { store } = options;
  await using stack = new AsyncDisposableStack();
  const services = await createServices(host, options);
  const { access, registry, config, locks } = services;
  const app = stack.adopt(await createRoutes(host, services, options), (app) => closeHttpServer(host, app));
  stack.use(registry.hub);
  stack.use(config.hub);
  const { authority } = services.identity;
  stack.use(authority);
  stack.use(locks);
  const tasks = stack.use(new TaskGroup(host.log));
  const firstToken = await within(host, options.startMs, async (signal) => {
    const issued = await access.tokens.bootstrap();
    await startReading(tasks, services, signal);
    return issued;
  });
  await warmUp(host, { registry, store, stack });
  tasks.run("compaction", (signal) => compactRegularly(host, store, signal));
  startUpkeep(tasks, services);
  stack.defer(followCallers(host, services));
  const owned = stack.move();
  const audit = services.denials;
  return { app, access, registry, authority, audit, firstToken, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/**
 * Milliseconds for which a member that found no other member, and no trace of one, counts as cold. Agents return within the five
 * seconds of their back-off, or with the next heartbeat of their session after ten.
 */
const WARM_MS = 15_000;

/**
 * A store that was lost or restored from a backup lacks sessions that are about to be opened again. A store that lists members was
 * not lost.
 */
async function warmUp(
  host: Host,
  { registry, store, stack }: { registry: Registry; store: Store; stack: AsyncDisposableStack },
): Promise<void> {
  if ((await store.range({ prefix: MEMBERS_PREFIX, limit: 1 })).count > 0) return;
  registry.cold = true;
  stack.defer(host.clock.after(WARM_MS, () => void (registry.cold = false)));
}

async function within<T>(host: Host, ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  using end = deadline(host.clock, ms);
  const { signal } = end;
  const late = new Promise<never>((_resolve, reject) => {
    signal.addEventListener("abort", () =>
      reject(
        ServerErrors.START_TIMEOUT(
          `The store did not answer within ${ms / 1000} s. Check that it runs and that this machine can reach it (settings store, etcdUrls, storeStartSeconds).`,
        ),
      ),
    );
  });
  return await Promise.race([work(signal), late]);
}
