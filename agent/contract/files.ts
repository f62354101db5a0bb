/**
 * The part of the agent's contract that is about files: what one is made of, what must agree with it before it stands, and who is
 * told of it afterwards.
 */
import { Type, type Static } from "typebox";
import { urlHostProblem } from "#base";
import { Name, Namespace } from "#registry/api";
import { Key } from "#config-server/api";

/** Parts of one command. */
const COMMAND_PARTS_MAX = 64;
/** Seconds that a check or a reload may take; a service that needs longer should answer first and load then. */
const TIMEOUT_SECONDS_MAX = 600;
const TIMEOUT_SECONDS = 10;
/** Seconds that a reload waits for quiet, or for its turn, at the most. */
const WAIT_SECONDS_MAX = 86_400;

export const Escape = Type.Union(
  [Type.Literal("none"), Type.Literal("json"), Type.Literal("yaml"), Type.Literal("shell")],
  {
    description:
      "How a value is written: as it is · as a JSON value with its quotes · the same, as YAML reads it · as one word of a shell.",
  },
);
export type Escape = Static<typeof Escape>;

const SetRef = Type.Object(
  { namespace: Type.Optional(Namespace), app: Name, profile: Type.Optional(Name) },
  { additionalProperties: false },
);

const template = {
  escape: Type.Optional(Escape),
  sets: Type.Optional(
    Type.Record(Name, SetRef, {
      maxProperties: 16,
      description: "Further sets, by the name they have in the template.",
    }),
  ),
};

/** A template of the set itself: the local API lets nobody have a file of this host read. */
const KeyTemplate = Type.Object(
  { key: { ...Key, description: "Key of the set that is the template." }, ...template },
  { additionalProperties: false },
);
const AnyTemplate = Type.Object(
  {
    key: Type.Optional({ ...Key, description: "Key of the set that is the template." }),
    path: Type.Optional(
      Type.String({ minLength: 1, maxLength: 4096, description: "Of the template, relative to the definition files." }),
    ),
    ...template,
  },
  { additionalProperties: false },
);

const set = { namespace: Type.Optional(Namespace), app: Name, profile: Type.Optional(Name) };

/** A file kept by the local API, below the agent's own folder only: the text of a key, or a template. */
export const FileRequest = Type.Object(
  { ...set, key: Type.Optional(Key), template: Type.Optional(KeyTemplate) },
  { additionalProperties: false },
);
export type FileRequest = Static<typeof FileRequest>;

const command = (more: string) =>
  Type.Array(Type.String({ maxLength: 4096 }), {
    minItems: 1,
    maxItems: COMMAND_PARTS_MAX,
    description: `Program, by its absolute path, and arguments. The setting agentExecAllow must name it. No shell.${more}`,
  });
const timeoutSeconds = Type.Optional(
  Type.Number({ minimum: 0.1, maximum: TIMEOUT_SECONDS_MAX, description: `Absent: ${TIMEOUT_SECONDS}.` }),
);

export const FileCheck = Type.Object(
  {
    command: command(" {path} stands for the file that may become the new one."),
    timeoutSeconds,
  },
  {
    additionalProperties: false,
    description: "Run on the new file before it takes the place of the old; exit 0 lets it.",
  },
);
export type FileCheck = Static<typeof FileCheck>;

export const Reload = Type.Object(
  {
    type: Type.Union([Type.Literal("signal"), Type.Literal("http"), Type.Literal("command")]),
    pidFile: Type.Optional(
      Type.String({ pattern: "^/", maxLength: 4096, description: "signal: file that holds the id of the process." }),
    ),
    signal: Type.Optional(
      Type.Union(
        (["HUP", "USR1", "USR2", "TERM", "INT", "QUIT", "WINCH"] as const).map((name) => Type.Literal(name)),
        { description: "signal: which one. Absent: HUP." },
      ),
    ),
    url: Type.Optional(
      Type.String({
        pattern: "^https?://",
        maxLength: 2048,
        description: "http: 2xx is done; a redirect is not followed.",
      }),
    ),
    method: Type.Optional(
      Type.Union(
        (["POST", "PUT", "GET"] as const).map((name) => Type.Literal(name)),
        { description: "http: absent: POST." },
      ),
    ),
    allowRemote: Type.Optional(Type.Literal(true, { description: "http: the URL may lead beyond this host." })),
    command: Type.Optional(command("")),
    timeoutSeconds,
    quietSeconds: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: WAIT_SECONDS_MAX,
        description: "Once nothing has changed for so long. Absent: 0.5.",
      }),
    ),
    quietSecondsMax: Type.Optional(
      Type.Number({ minimum: 0, maximum: WAIT_SECONDS_MAX, description: "After so long at the most. Absent: 10." }),
    ),
    splaySeconds: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: WAIT_SECONDS_MAX,
        description: "And then after a random part of this, so that not all hosts reload at once. Absent: 0.",
      }),
    ),
  },
  {
    additionalProperties: false,
    description: "After the file was replaced. Files whose reload says the same are one group, and are reloaded once.",
  },
);
export type Reload = Static<typeof Reload>;

export const RELOAD_DEFAULTS = Object.freeze({
  signal: "HUP",
  method: "POST",
  timeoutSeconds: TIMEOUT_SECONDS,
  quietSeconds: 0.5,
  quietSecondsMax: 10,
  splaySeconds: 0,
});

export const FileWrite = Type.Union([Type.Literal("replace"), Type.Literal("in-place")], {
  description:
    "replace: readers see the old file or the new one, never a part · in-place: for a file that is mounted by itself; readers may " +
    "see parts of both for a moment. Absent: replace.",
});
export type FileWrite = Static<typeof FileWrite>;

export const FileDefinition = Type.Object(
  {
    ...set,
    key: Type.Optional(Key),
    template: Type.Optional(AnyTemplate),
    path: Type.String({ minLength: 1, maxLength: 4096, description: "Relative to the folder of the definition file." }),
    mode: Type.Optional(
      Type.String({ pattern: "^0[0-7]{3}$", description: 'For a new file, in octal and quoted: "0640".' }),
    ),
    write: Type.Optional(FileWrite),
    check: Type.Optional(FileCheck),
    reload: Type.Optional(Reload),
  },
  { additionalProperties: false },
);
export type FileDefinition = Static<typeof FileDefinition>;

const RELOAD_FIELDS: Readonly<Record<Reload["type"], { needs: keyof Reload; takes: readonly (keyof Reload)[] }>> = {
  signal: { needs: "pidFile", takes: ["signal"] },
  http: { needs: "url", takes: ["method", "allowRemote"] },
  command: { needs: "command", takes: [] },
};
const COMMON = new Set<string>(["type", "timeoutSeconds", "quietSeconds", "quietSecondsMax", "splaySeconds"]);

/** What is wrong with an entry beyond its shape, with a JSON pointer to it. `isLocal`: whether a host name stays on this host. */
export function fileProblem(
  { key, template, check, reload }: Pick<FileDefinition, "key" | "template" | "check" | "reload">,
  isLocal: (host: string) => boolean,
): { readonly field: string; readonly message: string } | undefined {
  if ((key === undefined) === (template === undefined)) {
    return { field: "", message: 'it wants either "key", whose text it is, or "template"' };
  }
  if (template && (template.key === undefined) === (template.path === undefined)) {
    return { field: "/template", message: 'it wants either "path", of a file of this host, or "key", of the set' };
  }
  if (check) {
    if (!check.command[0]?.startsWith("/")) return notAbsolute("/check/command/0");
    if (!check.command.slice(1).some((part) => part.includes("{path}"))) {
      return { field: "/check/command", message: "no argument holds {path}, so it would not look at the new file" };
    }
  }
  return reload && reloadProblem(reload, isLocal);
}

function reloadProblem(reload: Reload, isLocal: (host: string) => boolean) {
  const { needs, takes } = RELOAD_FIELDS[reload.type];
  if (reload[needs] === undefined)
    return { field: `/reload/${needs}`, message: `type ${reload.type} wants "${needs}"` };
  const extra = Object.keys(reload).find(
    (name) => !COMMON.has(name) && name !== needs && !takes.some((one) => one === name),
  );
  if (extra !== undefined) return { field: `/reload/${extra}`, message: `"${extra}" is not for type ${reload.type}` };
  if (reload.command && !reload.command[0]?.startsWith("/")) return notAbsolute("/reload/command/0");
  if (reload.url === undefined) return undefined;
  const url = URL.parse(reload.url);
  const unfit = urlHostProblem(reload.url);
  if (!url || unfit !== undefined) return { field: "/reload/url", message: unfit ?? "it is not a URL" };
  if (reload.allowRemote || isLocal(url.hostname)) return undefined;
  return {
    field: "/reload/url",
    message: `${url.hostname} is beyond this host; say "allowRemote: true" if it is meant`,
  };
}

function notAbsolute(field: string) {
  return { field, message: "a program is named by its absolute path" };
}

/** A safe file name: it cannot leave its folder, hide, or look like the agent's own temporary files. */
export const FileName = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
  description: "Letters, digits, dot, underscore and dash; at most 128.",
});

export const FileState = Type.Union(
  [
    Type.Literal("current"),
    Type.Literal("waiting"),
    Type.Literal("absent"),
    Type.Literal("reloading"),
    Type.Literal("failed"),
  ],
  {
    description:
      "current: as released · waiting: nothing heard from the server, or nothing released yet · " +
      "absent: the key is in no release, the file is left as it was · " +
      "reloading: written, and its reload is due · failed: not written or not reloaded, see error.",
  },
);
export const LocalFile = Type.Object({
  path: Type.String(),
  namespace: Type.String(),
  app: Type.String(),
  profile: Type.String(),
  key: Type.Optional(Type.String({ description: "Absent: it is made from a template." })),
  template: Type.Optional(Type.String({ description: "Path of the template, or key of the set." })),
  source: Type.Union([Type.Literal("file"), Type.Literal("api")]),
  state: FileState,
  releaseKey: Type.Optional(Type.String({ description: "Of the config it was last written from." })),
  code: Type.Optional(Type.String({ description: "Of the error." })),
  error: Type.Optional(Type.String()),
});
export type LocalFile = Static<typeof LocalFile>;
export const LocalFiles = Type.Object({ files: Type.Array(LocalFile) });
