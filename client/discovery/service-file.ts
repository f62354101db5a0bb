/**
 * The last known instances of the services that this process calls, in one file beside the config's, so that a start without a server
 * finds them. A file that cannot be used is reported and replaced. Processes that share it keep each other's services.
 */
import { readFile, stat } from "node:fs/promises";
import { Type, type Static } from "typebox";
import { Check as matches } from "typebox/value";
import { type AppError, type Host, messageOf, own, randomId } from "#base";
import { replaceFile } from "#base/files";
import { ClientErrors } from "../errors.ts";

/** Addresses of services are for the owner only. */
const FILE_MODE = 0o600;
/** Milliseconds between two writes: health changes come in bursts, and a start needs no newer state than this. */
const WRITE_PAUSE_MS = 500;
/** Bytes that are read: some ten thousand instances with long metadata. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

const PortNumber = Type.Integer({ minimum: 1, maximum: 65_535 });
const KnownInstance = Type.Object({
  namespace: Type.String(),
  service: Type.String(),
  id: Type.String(),
  address: Type.String(),
  port: PortNumber,
  protocol: Type.String(),
  ports: Type.Array(Type.Object({ name: Type.String(), port: PortNumber, protocol: Type.String() })),
  weight: Type.Number(),
  lifecycle: Type.Enum(["starting", "serving", "draining", "stopped"]),
  status: Type.Enum(["passing", "warning", "critical", "unknown"]),
  metadata: Type.Optional(Type.Record(Type.String(), Type.String())),
  zone: Type.Optional(Type.String()),
});
export type KnownInstance = Static<typeof KnownInstance>;

const Content = Type.Object({
  format: Type.Literal(1),
  /** Instances by namespace and service, as "default/orders". */
  services: Type.Record(Type.String(), Type.Array(KnownInstance)),
});
type Services = Static<typeof Content>["services"];

export class ServiceFile implements AsyncDisposable {
  readonly #host: Host;
  readonly #path: string;
  readonly #tell: (problem: AppError) => void;
  readonly #changed = new Map<string, readonly KnownInstance[]>();
  #loaded: Promise<Services> | undefined;
  #cancel: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(host: Host, options: { path: string; tell: (problem: AppError) => void }) {
    this.#host = host;
    this.#path = options.path;
    this.#tell = options.tell;
  }

  /** The instances of a service in the file; undefined when the file does not have the service. */
  async load(key: string): Promise<readonly KnownInstance[] | undefined> {
    this.#loaded ??= this.#read();
    return this.#changed.get(key) ?? own(await this.#loaded, key);
  }

  /** Writes it in the background. */
  save(key: string, instances: readonly KnownInstance[]): void {
    this.#changed.set(key, instances);
    this.#cancel ??= this.#host.clock.after(WRITE_PAUSE_MS, () => this.#write());
  }

  #write(): void {
    this.#cancel = undefined;
    this.#writing = this.#writing.then(() => this.#replace());
  }

  async #replace(): Promise<void> {
    const services = { ...(await this.#read()), ...Object.fromEntries(this.#changed) };
    try {
      const text = JSON.stringify({ format: 1, services });
      await replaceFile(this.#path, text, FILE_MODE, `${randomId(this.#host.random, 8)}.posthouse-tmp`);
    } catch (cause) {
      this.#tell(
        ClientErrors.LAST_KNOWN_GOOD_NOT_WRITTEN(
          `${this.#path} was not written: ${messageOf(cause)}. Its old content remains; make its folder writable.`,
          { cause, extra: { path: this.#path } },
        ),
      );
    }
  }

  async #read(): Promise<Services> {
    try {
      const { size } = await stat(this.#path);
      const content: unknown = size > FILE_BYTES_MAX ? undefined : JSON.parse(await readFile(this.#path, "utf8"));
      if (matches(Content, content)) return content.services;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return {};
    }
    this.#tell(
      ClientErrors.LAST_KNOWN_GOOD_UNUSABLE(
        `${this.#path} cannot be used: it is corrupt or not readable. It is replaced once a server answers.`,
        { extra: { path: this.#path } },
      ),
    );
    return {};
  }

  /** Completes a scheduled write. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#cancel) {
      this.#cancel();
      this.#write();
    }
    await this.#writing;
  }
}
