/** A gRPC service of one method of each kind, and real clients for it. */
import { join } from "node:path";
import {
  ChannelCredentials,
  loadPackageDefinition,
  Metadata,
  Server,
  ServerCredentials,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type CallOptions,
  type handleUnaryCall,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface Note {
  text: string;
  number: number;
}

type Done = (error: ServiceError | null, note?: Note) => void;

export interface EchoClient {
  unary(note: Partial<Note>, metadata: Metadata, options: CallOptions, done: Done): ClientUnaryCall;
  count(note: Partial<Note>): ClientReadableStream<Note>;
  sum(done: Done): ClientWritableStream<Partial<Note>>;
  talk(metadata?: Metadata, options?: CallOptions): ClientDuplexStream<Partial<Note>, Note>;
  close(): void;
}

const definition = loadPackageDefinition(loadSync(join(import.meta.dirname, "echo.proto"))) as unknown as {
  posthouse: { test: { Echo: ServiceClientConstructor } };
};
const { Echo } = definition.posthouse.test;

export function echoClient(port: number, credentials = ChannelCredentials.createInsecure(), options = {}): EchoClient {
  return new Echo(`127.0.0.1:${port}`, credentials, options) as unknown as EchoClient;
}

export interface EchoService extends AsyncDisposable {
  readonly port: number;
  /** Metadata of each call. */
  readonly calls: Metadata[];
  /** Deadlines of each call, in milliseconds from its start. */
  readonly deadlines: number[];
  /** Calls that their caller gave up. */
  readonly cancelled: () => number;
}

/** `unary` in place of the echo, when given. */
export async function echoService(unary?: handleUnaryCall<Note, Note>): Promise<EchoService> {
  const server = new Server();
  const calls: Metadata[] = [];
  const deadlines: number[] = [];
  let cancelled = 0;
  const note = (call: {
    metadata: Metadata;
    getDeadline(): number | Date;
    on(event: "cancelled", f: () => void): void;
  }) => {
    calls.push(call.metadata);
    deadlines.push(Number(call.getDeadline()) - Date.now());
    call.on("cancelled", () => (cancelled += 1));
  };
  server.addService(Echo.service, {
    unary: (call: ServerUnaryCall<Note, Note>, done: sendUnaryData<Note>) => {
      note(call as never);
      if (unary) return unary(call, done);
      const trailers = new Metadata();
      trailers.set("x-trailer", "behind");
      const head = new Metadata();
      head.set("x-head", "before");
      call.sendMetadata(head);
      done(null, call.request, trailers);
    },
    count: (call: ServerWritableStream<Note, Note>) => {
      note(call as never);
      for (let i = 1; i <= call.request.number; i++) call.write({ text: call.request.text, number: i });
      call.end();
    },
    sum: (call: ServerReadableStream<Note, Note>, done: sendUnaryData<Note>) => {
      note(call as never);
      let number = 0;
      call.on("data", (one: Note) => (number += one.number));
      call.on("end", () => done(null, { text: "sum", number }));
    },
    talk: (call: ServerDuplexStream<Note, Note>) => {
      note(call as never);
      call.on("data", (one: Note) => call.write({ text: `re: ${one.text}`, number: one.number }));
      call.on("end", () => call.end());
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    port,
    calls,
    deadlines,
    cancelled: () => cancelled,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await Promise.resolve();
    },
  };
}

export interface CallResult {
  readonly code: number;
  readonly details: string;
  readonly note: Note | undefined;
  readonly metadata: Metadata;
}

/** One unary call, with its outcome as a value. */
export function callUnary(
  client: EchoClient,
  note: Partial<Note>,
  given: { metadata?: Record<string, string>; deadlineMs?: number } = {},
): Promise<CallResult> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(given.metadata ?? {})) metadata.set(name, value);
  const options = given.deadlineMs === undefined ? {} : { deadline: Date.now() + given.deadlineMs };
  return new Promise((resolve) => {
    let trailers = new Metadata();
    const call = client.unary(note, metadata, options, (error, answer) => {
      if (error) resolve({ code: error.code, details: error.details, note: undefined, metadata: error.metadata });
      else setImmediate(() => resolve({ code: 0, details: "", note: answer, metadata: trailers }));
    });
    call.on("metadata", (head) => (trailers = head.clone()));
    call.on("status", (status) => trailers.merge(status.metadata));
  });
}
