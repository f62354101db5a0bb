/** What a source holds at one moment, whatever kind it is, and the limits that all kinds keep. */
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
  /** Of a repository, bare or with a work tree, or of a folder. */
  readonly path: string;
  readonly branch: string;
  /** Where in it the sets begin; absent: at its root. */
  readonly folder?: string | undefined;
  /** With one, files are APP/PROFILE/KEY; without, NAMESPACE/APP/PROFILE/KEY. */
  readonly namespace?: string | undefined;
  readonly intervalSeconds: number;
  /** Whether a set whose files are gone is released empty. */
  readonly prune: boolean;
}

export interface Snapshot {
  /** Of git, the commit; of a folder, the SHA-256 of all that was read. */
  readonly commit: string;
  readonly author?: string;
  readonly message?: string;
  readonly files: readonly TreeFile[];
  /** Entries that are no files of ours, such as links out of it. */
  readonly problems: readonly FileProblem[];
}

export interface SourceReader {
  /**
   * A cheap look: equal texts mean that nothing came since.
   * @throws CONFIG_SOURCE_UNREADABLE
   */
  glance(): Promise<string>;
  /** @throws CONFIG_SOURCE_UNREADABLE, CONFIG_SOURCE_UNSTABLE, CONFIG_SOURCE_INVALID */
  read(signal: AbortSignal): Promise<Snapshot>;
  /** Whether one commit stands on another; true where there is no history. */
  standsOn(commit: string, earlier: string): Promise<boolean>;
}

/** Folders below the beginning: a set's, and the one too deep that is told as a mistake. */
export const DEPTH_MAX = 4;

/** Folders in front of a key. */
export function depthOf({ namespace }: Pick<SourceSettings, "namespace">): 2 | 3 {
  return namespace === undefined ? 3 : 2;
}

/**
 * Whether a path is in no set's folder, such as a README or a link at the root: what is there is not looked at, whatever
 * it is, but for the manifest of an export.
 */
export function isOutsideSets(settings: Pick<SourceSettings, "namespace">, path: string): boolean {
  return path.split("/").length <= depthOf(settings) && path !== MANIFEST_NAME;
}

/** Counts what is read, and stops before it is too much. */
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

  /** What is wrong with a file of this size. @throws CONFIG_SOURCE_INVALID when all together are too much */
  bytes(path: string, size: number): string | undefined {
    if (size > fileBytesMax(path)) return `is more than ${fileBytesMax(path)} bytes`;
    this.#bytes += size;
    if (this.#bytes > TRANSFER_BYTES_MAX) throw this.#refused(`holds more than ${TRANSFER_BYTES_MAX} bytes`);
    return undefined;
  }

  #refused(what: string) {
    return ConfigErrors.SOURCE_INVALID(
      `Source "${this.#name}" ${what}. Divide it into several sources, or name the folder that holds config.`,
      { extra: { problems: [] } },
    );
  }
}

export function unreadable({ name, path }: SourceSettings, what: string, cause?: unknown) {
  const detail = `Source "${name}" (${path}): ${what}. What was released from it stays live.`;
  return ConfigErrors.SOURCE_UNREADABLE(detail, cause === undefined ? {} : { cause });
}
