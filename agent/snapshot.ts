/**
 * The state that the agent keeps across restarts, in one file: its session, the services registered through the local API, the last
 * configs and catalogs, and the verdicts. With it the agent starts and serves while the server is down, and continues its session
 * after a crash.
 */
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { Type, type Static } from "typebox";
import { Check as matches } from "typebox/value";
import { fullJitter, messageOf, TaskGroup, Trigger, type Host } from "#base";
import { CheckStatus, Lifecycle } from "#registry/api";
import { AgentErrors, EffectiveConfig, FileName, FileRequest, LocalRegistration, Resolved } from "./api.ts";
import { readText, type FileSink } from "./file-sink.ts";

/** Milliseconds over which changes are gathered into one write. */
const GATHER_MS = 250;
/** Milliseconds after which it is written again without a change, so that it records the age of its content. */
const REFRESH_MS = 60_000;
/** Back-off after a failed write. Milliseconds. */
const RETRY = { baseMs: 1_000, capMs: 60_000 };
/** Only its owner may read it, since it contains a session and configs. */
const SNAPSHOT_MODE = 0o600;

const ClaimName = Type.Object({ namespace: Type.String(), service: Type.String(), id: Type.String() });
const heardAtMs = Type.Optional(Type.Number({ description: "When the server last confirmed it. Absent: savedAtMs." }));

export const Snapshot = Type.Object({
  format: Type.Literal(1),
  savedAtMs: Type.Number(),
  session: Type.Optional(Type.String()),
  /** Everything registered at the server, so that services which are no longer defined are deregistered. */
  told: Type.Array(Type.Object({ name: ClaimName, lifecycle: Lifecycle, weight: Type.Optional(Type.Integer()) })),
  services: Type.Array(
    Type.Object({
      name: ClaimName,
      registration: LocalRegistration,
      incarnation: Type.Integer({ minimum: 0 }),
      taken: Type.Boolean({
        description: "Whether the server accepted this claim. If it then rejects it, it was deregistered there.",
      }),
    }),
  ),
  verdicts: Type.Array(Type.Object({ service: Type.String(), check: Type.String(), status: CheckStatus })),
  files: Type.Array(Type.Object({ name: FileName, request: FileRequest })),
  configs: Type.Array(
    Type.Object({
      value: EffectiveConfig,
      heardAtMs,
      revision: Type.Optional(Type.Number({ description: "Store revision up to which the server confirmed it." })),
    }),
  ),
  catalogs: Type.Array(Type.Object({ value: Resolved, heardAtMs })),
  /** By reload group: the digest of the content that was loaded last. */
  reloaded: Type.Optional(Type.Array(Type.Tuple([Type.String(), Type.String()]))),
  /** The same for certificates of services. */
  reloadedCertificates: Type.Optional(Type.Array(Type.Tuple([Type.String(), Type.String()]))),
});
export type Snapshot = Static<typeof Snapshot>;

export function snapshotPath(dataDir: string): string {
  return join(dataDir, "agent.json");
}

/** @throws AGENT_FOLDER_UNUSABLE */
export async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (cause) {
    throw AgentErrors.FOLDER_UNUSABLE(
      `The folder ${path} cannot be created: ${messageOf(cause)}. Create it, or use another one.`,
      {
        cause,
      },
    );
  }
}

/** The snapshot of an earlier run. A corrupt one is renamed to `agent.json.corrupt`, not overwritten. */
export async function loadSnapshot(host: Host, dataDir: string): Promise<Snapshot | undefined> {
  const path = snapshotPath(dataDir);
  const text = await readText(path);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (matches(Snapshot, value)) return value;
  } catch {
    // Text that is not JSON is treated like JSON of another shape.
  }
  await rename(path, `${path}.corrupt`).catch((error: unknown) => {
    host.log.warn({ path, err: error }, `the corrupt snapshot cannot be renamed: ${messageOf(error)}`);
  });
  host.log.warn({ path }, `the snapshot is corrupt; it is renamed to ${path}.corrupt, and the agent starts without it`);
  return undefined;
}

export class SnapshotKeeper implements AsyncDisposable {
  readonly #host: Host;
  readonly #sink: FileSink;
  readonly #path: string;
  readonly #take: () => Omit<Snapshot, "savedAtMs">;
  readonly #tasks: TaskGroup;
  readonly #trigger = new Trigger();
  #written = "";
  #writtenAt = Number.NEGATIVE_INFINITY;
  #attempt = 0;
  #isStarted = false;
  /** Why the latest write failed; undefined when it succeeded. */
  problem: string | undefined;

  constructor(host: Host, sink: FileSink, options: { dataDir: string; take: () => Omit<Snapshot, "savedAtMs"> }) {
    this.#host = host;
    this.#sink = sink;
    this.#path = snapshotPath(options.dataDir);
    this.#take = options.take;
    this.#tasks = new TaskGroup(host.log);
  }

  start(): void {
    this.#isStarted = true;
    this.#tasks.run("snapshot", (signal) => this.#run(signal));
  }

  /** Notes that the state to keep may have changed. */
  touch(): void {
    this.#trigger.fire();
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const cancel = this.#host.clock.after(REFRESH_MS, () => this.#trigger.fire());
      await this.#trigger.wait(signal);
      cancel();
      if (signal.aborted) return;
      const pauseMs = this.#attempt === 0 ? GATHER_MS : GATHER_MS + fullJitter(this.#host.random, this.#attempt, RETRY);
      await this.#host.clock.sleep(pauseMs, signal).catch(() => {});
      if (!signal.aborted) await this.save();
    }
  }

  /** Writes it now, if it has changed. Never rejects. */
  async save(): Promise<void> {
    const content = this.#take();
    const text = JSON.stringify(content);
    const now = this.#host.clock.monotonic();
    if (text === this.#written && now - this.#writtenAt < REFRESH_MS) return;
    try {
      const whole = JSON.stringify({ ...content, savedAtMs: this.#host.clock.now() });
      await this.#sink.write(this.#path, whole, { mode: SNAPSHOT_MODE, followLinks: false });
      this.#written = text;
      this.#writtenAt = now;
      this.#attempt = 0;
      this.problem = undefined;
    } catch (error) {
      this.#attempt++;
      const message = `The snapshot was not written, so a restart would restore an older state: ${messageOf(error)}`;
      if (this.problem === undefined) this.#host.log.error({ err: error }, message);
      this.problem = message;
      this.#trigger.fire();
    }
  }

  /** Stops, and writes once more. An agent that never began has nothing to keep, and leaves the earlier snapshot as it is. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
    if (this.#isStarted) await this.save();
  }
}
