/** The content of a source at one moment, and the limits for all kinds of sources. */
import {
  ConfigErrors,
  fileBytesMax,
  MANIFEST_NAME,
  TRANSFER_BYTES_MAX,
  TRANSFER_FILES_MAX,
  type FileProblem,
} from "../api.ts";
import type { TreeFile } from "../core/tree.ts";

export interface SourceSettings {
  readonly name: string;
  readonly type: "git" | "folder";
  /** Path of a repository, bare or with a work tree, or of a folder. */
  readonly path: string;
  readonly branch: string;
  /** The folder that contains the sets; absent: the root. */
  readonly folder?: string | undefined;
  /** With a namespace, files are APP/PROFILE/KEY; without one, NAMESPACE/APP/PROFILE/KEY. */
  readonly namespace?: string | undefined;
  readonly intervalSeconds: number;
  /** Whether a set whose files are gone is released empty. */
  readonly prune: boolean;
}

export interface Snapshot {
  /** The git commit, or the SHA-256 of all files of a folder. */
  readonly commit: string;
  readonly author?: string;
  readonly message?: string;
  readonly files: readonly TreeFile[];
  /** Entries that cannot be config files, such as links out of the source. */
  readonly problems: readonly FileProblem[];
}

export interface SourceReader {
  /**
   * A cheap read: equal texts mean that nothing has changed.
   * @throws CONFIG_SOURCE_UNREADABLE
   */
  glance(): Promise<string>;
  /** @throws CONFIG_SOURCE_UNREADABLE, CONFIG_SOURCE_UNSTABLE, CONFIG_SOURCE_INVALID */
  read(signal: AbortSignal): Promise<Snapshot>;
  /** Whether a commit is a descendant of another, or the same; true for sources without history. */
  isDescendant(commit: string, earlier: string): Promise<boolean>;
}

/** Depth of the read folders: those of a set, and one more to report files that are too deep. */
export const DEPTH_MAX = 4;

/** Folders before a key. */
export function depthOf({ namespace }: Pick<SourceSettings, "namespace">): 2 | 3 {
  return namespace === undefined ? 3 : 2;
}

/**
 * Whether a path is outside all set folders, such as a README or a link at the root. Such entries are ignored, except for the
 * manifest of an export.
 */
export function isOutsideSets(settings: Pick<SourceSettings, "namespace">, path: string): boolean {
  return path.split("/").length <= depthOf(settings) && path !== MANIFEST_NAME;
}

/** Counts read files and bytes, and stops at the limits. */
export class Budget {
  readonly #name: string;
  #files = 0;
  #bytes = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** @throws CONFIG_SOURCE_INVALID */
  file(): void {
    if (++this.#files > TRANSFER_FILES_MAX) {
      throw this.#refused(`has more than ${TRANSFER_FILES_MAX} files`);
    }
  }

  /** The problem of a file of this size. @throws CONFIG_SOURCE_INVALID when all files together are too large */
  bytes(path: string, size: number): string | undefined {
    if (size > fileBytesMax(path)) return `is more than ${fileBytesMax(path)} bytes`;
    this.#bytes += size;
    if (this.#bytes > TRANSFER_BYTES_MAX) throw this.#refused(`has more than ${TRANSFER_BYTES_MAX} bytes`);
    return undefined;
  }

  #refused(what: string) {
    return ConfigErrors.SOURCE_INVALID(
      `Source "${this.#name}" ${what}. Split it into several sources, or set the folder that contains config.`,
      { extra: { problems: [] } },
    );
  }
}

export function unreadable({ name, path }: SourceSettings, what: string, cause?: unknown) {
  const detail = `Source "${name}" (${path}): ${what}. Earlier releases of the source stay live.`;
  return ConfigErrors.SOURCE_UNREADABLE(detail, cause === undefined ? {} : { cause });
}
