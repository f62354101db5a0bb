/**
 * The part of the agent's contract that is about files: their content, the check before a file is replaced, and the reload
 * afterwards.
 */
import { Type, type Static } from "typebox";
import { urlHostProblem } from "#base";
import { Name, Namespace } from "#registry/api";
import { Key } from "#config-server/api";

/** Parts of one command. */
const COMMAND_PARTS_MAX = 64;
/** Seconds that a check or a reload may take; a service that needs longer should answer first and then load. */
const TIMEOUT_SECONDS_MAX = 600;
const TIMEOUT_SECONDS = 10;
/** Seconds that a reload waits at most for quiet, or for its splay. */
const WAIT_SECONDS_MAX = 86_400;

export const Escape = Type.Union(
  [Type.Literal("none"), Type.Literal("json"), Type.Literal("yaml"), Type.Literal("shell")],
  {
    description:
      "How a value is written. none: unchanged · json: as a JSON value with its quotes · yaml: the same, which YAML also reads · " +
      "shell: as one shell word.",
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
      description: "Further sets, by their names in the template.",
    }),
  ),
};

/** A template from the set itself: a caller of the local API cannot make the agent read a file of this host. */
const KeyTemplate = Type.Object(
  { key: { ...Key, description: "Key of the set that is the template." }, ...template },
  { additionalProperties: false },
);
const AnyTemplate = Type.Object(
  {
    key: Type.Optional({ ...Key, description: "Key of the set that is the template." }),
    path: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 4096,
        description: "Path of the template, relative to the definition files.",
      }),
    ),
    ...template,
  },
  { additionalProperties: false },
);

const set = { namespace: Type.Optional(Namespace), app: Name, profile: Type.Optional(Name) };

/** A file of the local API, always in the agent's own folder: the text of a key, or a template. */
export const FileRequest = Type.Object(
  { ...set, key: Type.Optional(Key), template: Type.Optional(KeyTemplate) },
  { additionalProperties: false },
);
export type FileRequest = Static<typeof FileRequest>;

const command = (more: string) =>
  Type.Array(Type.String({ maxLength: 4096 }), {
    minItems: 1,
    maxItems: COMMAND_PARTS_MAX,
    description: `Absolute path of the program, and its arguments. The setting agentExecAllow must list the program. It runs without a shell.${more}`,
  });
const timeoutSeconds = Type.Optional(
  Type.Number({ minimum: 0.1, maximum: TIMEOUT_SECONDS_MAX, description: `Absent: ${TIMEOUT_SECONDS}.` }),
);

export const FileCheck = Type.Object(
  {
    command: command(" {path} is replaced by the path of the new file."),
    timeoutSeconds,
  },
  {
    additionalProperties: false,
    description: "Runs on the new file before it replaces the old one; exit code 0 accepts it.",
  },
);
export type FileCheck = Static<typeof FileCheck>;

export const Reload = Type.Object(
  {
    type: Type.Union([Type.Literal("signal"), Type.Literal("http"), Type.Literal("command")]),
    pidFile: Type.Optional(
      Type.String({ pattern: "^/", maxLength: 4096, description: "signal: file with the id of the process." }),
    ),
    signal: Type.Optional(
      Type.Union(
        (["HUP", "USR1", "USR2", "TERM", "INT", "QUIT", "WINCH"] as const).map((name) => Type.Literal(name)),
        { description: "signal: the signal to send. Absent: HUP." },
      ),
    ),
    url: Type.Optional(
      Type.String({
        pattern: "^https?://",
        maxLength: 2048,
        description: "http: the URL to call; 2xx is success, and redirects are not followed.",
      }),
    ),
    method: Type.Optional(
      Type.Union(
        (["POST", "PUT", "GET"] as const).map((name) => Type.Literal(name)),
        { description: "http: the method. Absent: POST." },
      ),
    ),
    allowRemote: Type.Optional(Type.Literal(true, { description: "http: allows a URL of another host." })),
    command: Type.Optional(command("")),
    timeoutSeconds,
    quietSeconds: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: WAIT_SECONDS_MAX,
        description: "Reload once nothing has changed for this long. Absent: 0.5.",
      }),
    ),
    quietSecondsMax: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: WAIT_SECONDS_MAX,
        description: "Reload after this long at the latest. Absent: 10.",
      }),
    ),
    splaySeconds: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: WAIT_SECONDS_MAX,
        description:
          "Wait for a random part of this before the reload, so that hosts do not reload all at once. Absent: 0.",
      }),
    ),
  },
  {
    additionalProperties: false,
    description: "Runs after the file was replaced. Files with equal reloads are one group, which is reloaded once.",
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
    "replace: readers see the old file or the new one, never a part · in-place: for a file that is itself a mount; readers may " +
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

/** The first problem of an entry beyond its shape, with a JSON pointer. `isLocal`: whether a host name refers to this host. */
export function fileProblem(
  { key, template, check, reload }: Pick<FileDefinition, "key" | "template" | "check" | "reload">,
  isLocal: (host: string) => boolean,
): { readonly field: string; readonly message: string } | undefined {
  if ((key === undefined) === (template === undefined)) {
    return { field: "", message: 'a file needs either "key" or "template"' };
  }
  if (template && (template.key === undefined) === (template.path === undefined)) {
    return {
      field: "/template",
      message: 'a template needs either "path", a file of this host, or "key", a key of the set',
    };
  }
  if (check) {
    if (!check.command[0]?.startsWith("/")) return notAbsolute("/check/command/0");
    if (!check.command.slice(1).some((part) => part.includes("{path}"))) {
      return {
        field: "/check/command",
        message: "no argument contains {path}, so the program would not read the new file; add it",
      };
    }
  }
  return reload && reloadProblem(reload, isLocal);
}

/** The first problem of a reload beyond its shape. */
export function reloadProblem(
  reload: Reload,
  isLocal: (host: string) => boolean,
): { readonly field: string; readonly message: string } | undefined {
  const { needs, takes } = RELOAD_FIELDS[reload.type];
  if (reload[needs] === undefined)
    return { field: `/reload/${needs}`, message: `type ${reload.type} needs "${needs}"` };
  const extra = Object.keys(reload).find(
    (name) => !COMMON.has(name) && name !== needs && !takes.some((one) => one === name),
  );
  if (extra !== undefined)
    return { field: `/reload/${extra}`, message: `type ${reload.type} does not use "${extra}"; remove it` };
  if (reload.command && !reload.command[0]?.startsWith("/")) return notAbsolute("/reload/command/0");
  if (reload.url === undefined) return undefined;
  const url = URL.parse(reload.url);
  const unfit = urlHostProblem(reload.url);
  if (!url || unfit !== undefined) return { field: "/reload/url", message: unfit ?? "this is not a URL" };
  if (reload.allowRemote || isLocal(url.hostname)) return undefined;
  return {
    field: "/reload/url",
    message: `${url.hostname} is not this host; set "allowRemote: true" if that is intended`,
  };
}

function notAbsolute(field: string) {
  return { field, message: "the program must be an absolute path" };
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
      "current: as released · waiting: no answer from the server, or nothing released yet · " +
      "absent: no release has the key, the file stays as it is · " +
      "reloading: written, and its reload is pending · failed: not written or not reloaded, see error.",
  },
);
export const LocalFile = Type.Object({
  path: Type.String(),
  namespace: Type.String(),
  app: Type.String(),
  profile: Type.String(),
  key: Type.Optional(Type.String({ description: "Absent: the file is made from a template." })),
  template: Type.Optional(Type.String({ description: "Path of the template, or its key in the set." })),
  source: Type.Union([Type.Literal("file"), Type.Literal("api")]),
  state: FileState,
  releaseKey: Type.Optional(Type.String({ description: "Release key of the config that it was last written from." })),
  code: Type.Optional(Type.String({ description: "Code of the error." })),
  error: Type.Optional(Type.String()),
});
export type LocalFile = Static<typeof LocalFile>;
export const LocalFiles = Type.Object({ files: Type.Array(LocalFile) });
