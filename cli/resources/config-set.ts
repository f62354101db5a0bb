/** Kind ConfigSet: keys of one config set. Keys that no document names stay as they are. */
import { canonicalJson, own, setOwn } from "#base";
import type { ControlCalls } from "#client/light";
import { formatOf, type Items, MASK, type SetName } from "#config-server/api";
import { CliErrors } from "../errors.ts";
import { liveSet } from "../live-set.ts";
import type { Metadata, ResourceInputs, ResourceKind, WriteTarget } from "./kind.ts";

/** A key as it is written: the text itself, or where it comes from. */
export type KeySpec =
  | string
  | {
      readonly value?: string;
      readonly file?: string;
      readonly env?: string;
      readonly secret?: boolean;
      readonly expand?: true;
    };
export interface ConfigSetSpec {
  readonly keys: Readonly<Record<string, KeySpec>>;
}
interface Resolved {
  readonly keys: Items;
}

const keySchema = {
  anyOf: [
    { type: "string", description: "The value itself." },
    {
      type: "object",
      additionalProperties: false,
      properties: {
        value: { type: "string" },
        file: { type: "string", description: "File with the value, relative to the document and inside its folder." },
        env: { type: "string", description: "Environment variable of the command that has the value." },
        secret: {
          type: "boolean",
          description: "Encrypted in the store. An existing secret is kept, unless --set-secrets is given.",
        },
        expand: { const: true, description: "Placeholders in the value are filled in." },
      },
      oneOf: [{ required: ["value"] }, { required: ["file"] }, { required: ["env"] }],
    },
  ],
};

const setOf = ({ namespace, name, profile = "default" }: Metadata): SetName => ({
  namespace,
  app: name,
  profile,
});

export const configSet: ResourceKind = {
  kind: "ConfigSet",
  description: "Keys of a config set. Other keys of the set stay as they are.",
  metadata: ["name", "profile?"],
  schema: async () => ({
    type: "object",
    additionalProperties: false,
    required: ["keys"],
    properties: {
      keys: {
        type: "object",
        minProperties: 1,
        propertyNames: { pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" },
        additionalProperties: keySchema,
        description: "By key: the value, or the file or variable that has it. The key's extension gives its format.",
      },
    },
  }),
  idOf: (metadata) => {
    const { namespace, app, profile } = setOf(metadata);
    return `${namespace}/${app}/${profile}`;
  },
  async resolve(spec, inputs) {
    const keys: Record<string, Items[string]> = {};
    for (const [key, value] of Object.entries((spec as ConfigSetSpec).keys))
      setOwn(keys, key, await itemFrom(key, value, inputs));
    return { keys } satisfies Resolved;
  },
  parts: (spec) => Object.keys((spec as Resolved).keys),
  async read(client, metadata, parts) {
    const { version, items } = await liveSet(client, setOf(metadata));
    if (version === 0) return undefined;
    return { spec: { keys: only(items, parts) } satisfies Resolved, cas: version };
  },
  comparable(spec, live, { setSecrets }) {
    const known = (live as Resolved | undefined)?.keys ?? {};
    const keys = Object.entries((spec as Resolved).keys).map(([key, item]) => {
      const before = own(known, key);
      // A secret's live value is masked. A mask in a release leaves it unchanged.
      return [key, item.secret && before?.secret && !setSecrets ? { ...item, value: MASK } : item];
    });
    return { keys: Object.fromEntries(keys) as Items } satisfies Resolved;
  },
  write: release,
  remove: (client, target, options) => release(client, { ...target, spec: { keys: {} } }, options),
  shown: (spec) =>
    Object.fromEntries(
      Object.entries((spec as Resolved).keys).map(([key, { value, secret, expand }]) => [
        key,
        secret ? { secret, value: MASK } : expand ? { expand, value } : value,
      ]),
    ),
};

/** Replaces the parts that are this owner's, and nothing else. */
async function release(
  client: ControlCalls,
  { metadata, spec, live, parts }: WriteTarget,
  { reason }: { readonly reason: string },
): Promise<void> {
  const set = setOf(metadata);
  const { version, items } = await liveSet(client, set);
  const planned = live?.cas ?? 0;
  const wanted = (spec as Resolved).keys;
  if (
    version !== planned &&
    canonicalJson(only(items, parts)) !== canonicalJson((live?.spec as Resolved | undefined)?.keys ?? {})
  ) {
    throw CliErrors.CONFLICT(`Version ${version} is live, but the plan is based on version ${planned}. Plan again.`);
  }
  const mine = new Set(parts);
  const others = Object.fromEntries(Object.entries(items).filter(([key]) => !mine.has(key)));
  await client.config.publish(set, { items: { ...others, ...wanted }, expectedVersion: version, reason });
}

function only(items: Items, parts: readonly string[]): Items {
  return Object.fromEntries(
    parts.flatMap((key) => (Object.hasOwn(items, key) ? [[key, own(items, key) as Items[string]]] : [])),
  );
}

async function itemFrom(key: string, spec: KeySpec, inputs: ResourceInputs): Promise<Items[string]> {
  const { value, file, env, secret, expand } =
    typeof spec === "string" ? { value: spec } : (spec as Exclude<KeySpec, string> & object);
  const bytes = file !== undefined ? await inputs.file(file) : Buffer.from(value ?? inputs.env(env ?? ""));
  const format = formatOf(key);
  return {
    format,
    value: Buffer.from(bytes).toString(format === "binary" ? "base64" : "utf8"),
    ...(secret ? { secret } : {}),
    ...(expand ? { expand } : {}),
  };
}
