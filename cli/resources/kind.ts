/** A kind of resource that `posthouse apply` manages: a row of the table in kinds.ts, and a file. */
import type { ControlCalls } from "#client/light";

export interface Metadata {
  readonly namespace: string;
  readonly name: string;
  readonly service?: string;
  readonly profile?: string;
}

/** The state of a resource at the server, in the form of a spec, and the condition under which it may be replaced. */
export interface LiveResource {
  readonly spec: unknown;
  readonly cas: number | string;
}

/** Inputs of a kind beyond its document. */
export interface ResourceInputs {
  /** Text of a file beside the document, or of a variable. */
  readonly file: (path: string) => Promise<Uint8Array>;
  readonly env: (name: string) => string;
}

export interface ApplyOptions {
  readonly reason: string;
  /** Whether secrets that exist are written again. Their values cannot be compared. */
  readonly setSecrets: boolean;
  /** Folder that receives the secrets of new tokens. */
  readonly tokensTo: string | undefined;
}

export interface ResourceKind {
  readonly kind: string;
  readonly description: string;
  /** Fields of the metadata beside `namespace`, which defaults to "default"; those with `?` are optional. */
  readonly metadata: readonly ("name" | "name?" | "service" | "profile?")[];
  /** The JSON Schema of the spec; its defaults are filled in. */
  readonly schema: () => Promise<object>;
  /** The name that people read, unique within the kind. */
  readonly idOf: (metadata: Metadata) => string;
  /** The spec in the form in which `read` returns it. Absent: as it is written. */
  readonly resolve?: (spec: unknown, inputs: ResourceInputs, metadata: Metadata) => Promise<unknown>;
  /** Parts of the resource that this owner applied earlier, and that it may therefore remove: names of keys. */
  readonly parts?: (spec: unknown) => readonly string[];
  /** The live state, restricted to `parts` where a kind has them; undefined when it does not exist. */
  readonly read: (
    client: ControlCalls,
    metadata: Metadata,
    parts: readonly string[],
  ) => Promise<LiveResource | undefined>;
  /** The spec to compare with the live one, when they cannot be compared as they are. */
  readonly comparable?: (spec: unknown, live: unknown, options: ApplyOptions) => unknown;
  readonly write: (client: ControlCalls, target: WriteTarget, options: ApplyOptions) => Promise<string | void>;
  readonly remove: (client: ControlCalls, target: Omit<WriteTarget, "spec">, options: ApplyOptions) => Promise<void>;
  /** The spec as people may see it. */
  readonly shown?: (spec: unknown) => unknown;
}

export interface WriteTarget {
  readonly metadata: Metadata;
  readonly spec: unknown;
  /** undefined: it did not exist when the change was planned. */
  readonly live: LiveResource | undefined;
  /** As in `read`. */
  readonly parts: readonly string[];
}
