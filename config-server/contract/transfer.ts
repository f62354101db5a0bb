/**
 * Many sets at a time in the config server's wire contract: exports and imports as zip files, and sources that sets are
 * mirrored from. A file of a set is `NAMESPACE/APP/PROFILE/KEY`.
 */
import { Type, type Static } from "typebox";
import { Difference } from "./changes.ts";
import { Format, Key, Name, Profile, VALUE_BYTES_MAX } from "./items.ts";

/** Files of one export, import or source. A zip counts up to 65,535, and each file is in memory while it is checked. */
export const TRANSFER_FILES_MAX = 20_000;
/** Bytes of one file: the longest value, in the widest characters. */
export const TRANSFER_FILE_BYTES_MAX = VALUE_BYTES_MAX;
/** Bytes of a manifest: as many sets and keys as there may be files, with reasons of one line. */
export const MANIFEST_BYTES_MAX = 8 * 1024 * 1024;
/** Bytes of all files together, once inflated: an import is in memory until it is checked. */
export const TRANSFER_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes of an uploaded zip: the same files, barely compressed. */
export const ZIP_BYTES_MAX = 32 * 1024 * 1024;
/** Inflated bytes per byte of a zip, above a MiB: text shrinks to a tenth, a bomb to a thousandth. */
export const ZIP_RATIO_MAX = 200;
/** Imports that a member reads at a time: each may hold an upload and its inflated files in memory. */
export const IMPORTS_AT_ONCE_MAX = 2;
/** Lines of differences that a dry run shows. People read the first ones. */
export const PLAN_LINES_MAX = 20_000;
/** Problems listed for one import or commit. People fix the first ones first. */
export const TRANSFER_PROBLEMS_MAX = 200;

/** The manifest of an export is a file of this name at its root. No key begins with an underscore, so none can collide. */
export const MANIFEST_NAME = "_manifest.json";
export const MANIFEST_FORMAT = "posthouse-config/1";

/** The most bytes of a file, by its path. */
export function fileBytesMax(path: string): number {
  return path === MANIFEST_NAME ? MANIFEST_BYTES_MAX : TRANSFER_FILE_BYTES_MAX;
}

export const Manifest = Type.Object({
  format: Type.Literal(MANIFEST_FORMAT),
  sets: Type.Array(
    Type.Object({
      namespace: Name,
      app: Name,
      profile: Profile,
      version: Type.Integer({ description: "The exported release." }),
      hash: Type.String(),
      author: Type.String(),
      reason: Type.String(),
      createdAt: Type.String(),
      keys: Type.Record(Key, Format, {
        description: "Formats by key. The extension of an unlisted key gives its format.",
      }),
      expand: Type.Optional(Type.Array(Key, { description: "Keys whose placeholders are filled in." })),
      secret: Type.Optional(
        Type.Array(Key, { description: "Keys that are secrets. A mask as the value leaves the secret unchanged." }),
      ),
    }),
  ),
});
export type Manifest = Static<typeof Manifest>;

export const ImportQuery = Type.Object(
  {
    mode: Type.Optional(
      Type.Union([Type.Literal("dry-run"), Type.Literal("release"), Type.Literal("draft")], {
        default: "dry-run",
        description: "dry-run: only report the changes. draft: save the changes as drafts of the caller.",
      }),
    ),
    namespace: Type.Optional(
      Type.Unsafe<string>({ ...Name, description: "The namespace for all sets, instead of the one in the paths." }),
    ),
    app: Type.Optional(
      Type.Unsafe<string>({ ...Name, description: "For a zip with the files of one set, without folders." }),
    ),
    profile: Type.Optional(
      Type.Unsafe<string>({ ...Profile, description: "For a zip with the files of one set, without folders." }),
    ),
    keep: Type.Optional(
      Type.Boolean({ default: false, description: "Keep keys that have no file. Otherwise they are removed." }),
    ),
    reason: Type.Optional(
      Type.String({ maxLength: 1024, description: "For the history. Absent: the reason of each set in the manifest." }),
    ),
    emergency: Type.Optional(
      Type.Boolean({ default: false, description: "Bypasses a required review and a source. Requires a reason." }),
    ),
  },
  { additionalProperties: false },
);
export type ImportQuery = Static<typeof ImportQuery>;

/** A problem with one file. */
export const FileProblem = Type.Object({
  file: Type.String(),
  message: Type.String(),
  pointer: Type.Optional(Type.String({ description: "JSON pointer into the value." })),
  line: Type.Optional(Type.Integer()),
  column: Type.Optional(Type.Integer()),
});
export type FileProblem = Static<typeof FileProblem>;

export const ImportedSet = Type.Object({
  namespace: Type.String(),
  app: Type.String(),
  profile: Type.String(),
  fromVersion: Type.Integer({ description: "The live version when this was planned; 0: nothing." }),
  outcome: Type.Union(
    [
      Type.Literal("unchanged"),
      Type.Literal("planned"),
      Type.Literal("released"),
      Type.Literal("proposed"),
      Type.Literal("drafted"),
      Type.Literal("failed"),
      Type.Literal("not-tried"),
    ],
    { description: "not-tried: an earlier set failed." },
  ),
  added: Type.Array(Type.String()),
  changed: Type.Array(Type.String()),
  removed: Type.Array(Type.String()),
  unchanged: Type.Integer({ description: "Number of unchanged keys." }),
  differences: Type.Optional(
    Type.Array(Type.Pick(Difference, ["key", "kind", "lines"]), { description: "Only for a dry run." }),
  ),
  version: Type.Optional(Type.Integer({ description: "The version that the set was released as." })),
  proposal: Type.Optional(Type.String({ description: "The proposal that was made, where a review is required." })),
  error: Type.Optional(Type.Object({ code: Type.String(), detail: Type.String() })),
});
export type ImportedSet = Static<typeof ImportedSet>;

export const ImportReport = Type.Object({
  mode: Type.Union([Type.Literal("dry-run"), Type.Literal("release"), Type.Literal("draft")]),
  sets: Type.Array(ImportedSet, { description: "In the order in which they are released." }),
  ignored: Type.Array(Type.String(), { description: "Files that belong to no set, such as a README." }),
});
export type ImportReport = Static<typeof ImportReport>;

/** The origin of a release of a source. */
export const Provenance = Type.Object({
  name: Type.String({ description: "The name of the source." }),
  commit: Type.String({ description: "The git commit, or the SHA-256 of all files of a folder." }),
  author: Type.Optional(Type.String({ description: "The author of the commit." })),
  message: Type.Optional(Type.String({ description: "The message of the commit." })),
});
export type Provenance = Static<typeof Provenance>;

const At = Type.String({ format: "date-time" });

export const SourceStatus = Type.Object({
  name: Type.String(),
  configuredHere: Type.Boolean({ description: "Whether this member knows its path." }),
  type: Type.Optional(Type.Union([Type.Literal("git"), Type.Literal("folder")])),
  branch: Type.Optional(Type.String()),
  namespace: Type.Optional(Type.String()),
  sets: Type.Integer({ description: "Number of sets that the source owns." }),
  detached: Type.Optional(Type.Object({ by: Type.String(), at: At })),
  seen: Type.Optional(
    Type.Object({ commit: Type.String(), at: At }, { description: "The last commit that was read." }),
  ),
  released: Type.Optional(
    Type.Object({ commit: Type.String(), at: At }, { description: "The last commit that was released completely." }),
  ),
  rewritten: Type.Optional(
    Type.Literal(true, { description: "The last commit is not a descendant of the commit released before it." }),
  ),
  error: Type.Optional(
    Type.Object(
      { code: Type.String(), detail: Type.String(), problems: Type.Array(FileProblem), at: At },
      { description: "Why the last commit is not live. The commit before it still is." },
    ),
  ),
});
export type SourceStatus = Static<typeof SourceStatus>;
export const SourceList = Type.Object({ sources: Type.Array(SourceStatus) });
export type SourceList = Static<typeof SourceList>;

export const SourceSync = Type.Object({
  commit: Type.String({ description: "The commit that was read." }),
  sets: Type.Array(ImportedSet),
});
export type SourceSync = Static<typeof SourceSync>;
