/**
 * The part of the config server's wire contract that is about many sets at a time: exports and imports as zip files, and
 * sources that sets are mirrored from. A file of a set is `NAMESPACE/APP/PROFILE/KEY`.
 */
import { Type, type Static } from "typebox";
import { Difference } from "./changes.ts";
import { Format, Key, Name, Profile, VALUE_BYTES_MAX } from "./items.ts";

/** Files of one export, import or source. A zip counts up to 65,535, and each is held in memory while it is looked at. */
export const TRANSFER_FILES_MAX = 20_000;
/** Bytes of one file: the longest value, in the widest characters. */
export const TRANSFER_FILE_BYTES_MAX = VALUE_BYTES_MAX;
/** Bytes of a manifest: as many sets and keys as there may be files, with reasons of a line. */
export const MANIFEST_BYTES_MAX = 8 * 1024 * 1024;
/** Bytes of all files together, once inflated: all of an import is held in memory until it is checked. */
export const TRANSFER_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes of a zip as uploaded: all of the above, barely compressed. */
export const ZIP_BYTES_MAX = 32 * 1024 * 1024;
/** Inflated bytes per byte of a zip, above a MiB: text shrinks to a tenth, a bomb to a thousandth. */
export const ZIP_RATIO_MAX = 200;
/** Imports that a member reads at a time: each may hold an upload and all that is in it. */
export const IMPORTS_AT_ONCE_MAX = 2;
/** Lines of differences that a dry run shows; people look at the first ones. */
export const PLAN_LINES_MAX = 20_000;
/** Problems told of one import or commit: people mend the first ones first. */
export const TRANSFER_PROBLEMS_MAX = 200;

/** What an export says of itself, in a file of this name at its root. No key begins like this, so none is mistaken for it. */
export const MANIFEST_NAME = "_manifest.json";
export const MANIFEST_FORMAT = "posthouse-config/1";

/** How large a file may be, by its path. */
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
      version: Type.Integer({ description: "The release that it was." }),
      hash: Type.String(),
      author: Type.String(),
      reason: Type.String(),
      createdAt: Type.String(),
      keys: Type.Record(Key, Format, {
        description: "The format of each; of a key that is not named, its ending says.",
      }),
      expand: Type.Optional(Type.Array(Key, { description: "Keys whose placeholders are filled in." })),
      secret: Type.Optional(
        Type.Array(Key, { description: "Keys that are secrets. A mask in the place of one leaves it as it is." }),
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
        description: "dry-run: only say what would change; draft: the caller's drafts of what changes.",
      }),
    ),
    namespace: Type.Optional(
      Type.Unsafe<string>({ ...Name, description: "Where all sets go, whatever namespace the files say." }),
    ),
    app: Type.Optional(
      Type.Unsafe<string>({ ...Name, description: "Of a zip with the files of one set, without folders." }),
    ),
    profile: Type.Optional(Type.Unsafe<string>({ ...Profile, description: "The same." })),
    keep: Type.Optional(
      Type.Boolean({ default: false, description: "Keys that are not among the files stay; else they go." }),
    ),
    reason: Type.Optional(
      Type.String({ maxLength: 1024, description: "For the history; absent: as in the manifest, for each set." }),
    ),
    emergency: Type.Optional(
      Type.Boolean({ default: false, description: "Past a required review and past a source; wants a reason." }),
    ),
  },
  { additionalProperties: false },
);
export type ImportQuery = Static<typeof ImportQuery>;

/** What is wrong with one file. */
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
  fromVersion: Type.Integer({ description: "Live when this was planned; 0: nothing." }),
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
  unchanged: Type.Integer({ description: "Keys that stay as they are." }),
  differences: Type.Optional(
    Type.Array(Type.Pick(Difference, ["key", "kind", "lines"]), { description: "Of a dry run." }),
  ),
  version: Type.Optional(Type.Integer({ description: "The release that it became." })),
  proposal: Type.Optional(Type.String({ description: "The proposal that it became, where a review is required." })),
  error: Type.Optional(Type.Object({ code: Type.String(), detail: Type.String() })),
});
export type ImportedSet = Static<typeof ImportedSet>;

export const ImportReport = Type.Object({
  mode: Type.Union([Type.Literal("dry-run"), Type.Literal("release"), Type.Literal("draft")]),
  sets: Type.Array(ImportedSet, { description: "In the order in which they are released." }),
  ignored: Type.Array(Type.String(), { description: "Files that belong to no set, such as a README." }),
});
export type ImportReport = Static<typeof ImportReport>;

/** Where a release of a source comes from. */
export const Provenance = Type.Object({
  name: Type.String({ description: "Of the source." }),
  commit: Type.String({ description: "Of git, the commit; of a folder, the SHA-256 of all that was read." }),
  author: Type.Optional(Type.String({ description: "Of the commit." })),
  message: Type.Optional(Type.String({ description: "Of the commit." })),
});
export type Provenance = Static<typeof Provenance>;

const At = Type.String({ format: "date-time" });

export const SourceStatus = Type.Object({
  name: Type.String(),
  configuredHere: Type.Boolean({ description: "Whether this member knows its path." }),
  type: Type.Optional(Type.Union([Type.Literal("git"), Type.Literal("folder")])),
  branch: Type.Optional(Type.String()),
  namespace: Type.Optional(Type.String()),
  sets: Type.Integer({ description: "Sets that it owns." }),
  detached: Type.Optional(Type.Object({ by: Type.String(), at: At })),
  seen: Type.Optional(Type.Object({ commit: Type.String(), at: At }, { description: "The last commit looked at." })),
  released: Type.Optional(
    Type.Object({ commit: Type.String(), at: At }, { description: "The last commit that is live as a whole." }),
  ),
  rewritten: Type.Optional(
    Type.Literal(true, { description: "The last commit does not stand on the one released before it." }),
  ),
  error: Type.Optional(
    Type.Object(
      { code: Type.String(), detail: Type.String(), problems: Type.Array(FileProblem), at: At },
      { description: "Why the last commit is not live; the one before it still is." },
    ),
  ),
});
export type SourceStatus = Static<typeof SourceStatus>;
export const SourceList = Type.Object({ sources: Type.Array(SourceStatus) });
export type SourceList = Static<typeof SourceList>;

export const SourceSync = Type.Object({
  commit: Type.String({ description: "What was looked at." }),
  sets: Type.Array(ImportedSet),
});
export type SourceSync = Static<typeof SourceSync>;
