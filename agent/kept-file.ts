/** One file that the agent keeps: its entry, its state on disk, and the config sets that it is made of. */
import type { CancelTimer } from "#base";
import type { SetName } from "#config-server/api";
import type { LocalFile } from "./api.ts";
import type { DefinedFile } from "./definitions.ts";
import { reloadGroupOf, type CodedProblem } from "./reloader.ts";

export interface WantedFile extends DefinedFile {
  readonly source: LocalFile["source"];
}

export interface KeptFile {
  wanted: WantedFile;
  /** The sets that it is made of, by id. */
  sets: ReadonlyMap<string, SetName>;
  /** The group of files that are reloaded together. */
  group: string | undefined;
  state: LocalFile["state"];
  /** Release key of the config that the file was last compared equal to, or written from. */
  releaseKey: string | undefined;
  /** By set: the release key that the latest look used. */
  looked: ReadonlyMap<string, string>;
  /** Whether the content to write is not known yet, since the server has not confirmed it. */
  undecided: boolean;
  /** Of the content on disk; for a missing file that of an empty text, undefined before the first look. */
  digest: string | undefined;
  problem: CodedProblem | undefined;
  attempt: number;
  cancelRetry: CancelTimer;
  /** Whether a look is under way, and whether another one must follow it. */
  busy: boolean;
  again: boolean;
}

/** Begins a topic that is a reload group. A set's topic begins with its namespace. */
const GROUP = "group ";

/** The parts of a file's entry that its definition decides. */
export function definedPartsOf(wanted: WantedFile): Pick<KeptFile, "wanted" | "sets" | "group"> {
  return {
    wanted,
    sets: new Map(setsOf(wanted).map((set) => [setIdOf(set), set])),
    group: wanted.reload && reloadGroupOf(wanted.reload),
  };
}

/** A file that was not looked at yet. */
export function newKeptFile(wanted: WantedFile): KeptFile {
  return {
    ...definedPartsOf(wanted),
    state: "waiting",
    releaseKey: undefined,
    looked: new Map(),
    undecided: true,
    digest: undefined,
    problem: undefined,
    attempt: 0,
    cancelRetry: () => {},
    busy: false,
    again: false,
  };
}

/** The sets and the group whose state a look at the file may change. */
export function topicsOf({ sets, group }: KeptFile): string[] {
  return [...sets.keys(), ...(group === undefined ? [] : [`${GROUP}${group}`])];
}

/** The reload group of a topic; undefined for the topic of a set. */
export function groupOfTopic(topic: string): string | undefined {
  return topic.startsWith(GROUP) ? topic.slice(GROUP.length) : undefined;
}

/** The sets that a file is made of. */
export function setsOf({
  namespace,
  app,
  profile,
  template,
}: Pick<WantedFile, "namespace" | "app" | "profile" | "template">): SetName[] {
  return [{ namespace, app, profile }, ...(template?.sets.values() ?? [])];
}

export function setIdOf({ namespace, app, profile }: SetName): string {
  return `${namespace}/${app}/${profile}`;
}
