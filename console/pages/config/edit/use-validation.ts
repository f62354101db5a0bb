/**
 * The server's checks of a value while it is typed: an import of one file, as a dry run, passes all checks of a release.
 */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { FileProblem, ImportReport, Item, SetName } from "#config-server/api";
import type { CodeProblem } from "../../../components/code-editor.tsx";
import { ApiProblem, callApi } from "../../../data/api.ts";

export interface Validation {
  readonly state: "checking" | "valid" | "unchanged" | "invalid" | "unchecked";
  /** In the text itself. */
  readonly problems: readonly CodeProblem[];
  /** In other keys and sets, and problems without a place. */
  readonly others: readonly string[];
}

/** Milliseconds of a pause in typing after which the server is asked. */
const PAUSE_MS = 400;
/** Milliseconds before asking again when the server was busy with other imports. */
const BUSY_MS = 2_000;
const CHECKING: Validation = { state: "checking", problems: [], others: [] };

/** @param item undefined: there is nothing to check */
export function useValidation(set: SetName, key: string, item: Item | undefined): Validation {
  const result = useSignal<Validation>(CHECKING);
  const text = item && JSON.stringify(item);
  useEffect(() => {
    if (text === undefined) {
      result.value = { state: "unchanged", problems: [], others: [] };
      return undefined;
    }
    const abort = new AbortController();
    result.value = { ...result.peek(), state: "checking" };
    const ask = async () => {
      const next = await validate(set, { key, item: JSON.parse(text) as Item }, abort.signal);
      if (abort.signal.aborted) return;
      if (next === "busy") timer = setTimeout(() => void ask(), BUSY_MS);
      else result.value = next;
    };
    let timer = setTimeout(() => void ask(), PAUSE_MS);
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [text, key]);
  return result.value;
}

async function validate(
  set: SetName,
  { key, item }: { readonly key: string; readonly item: Item },
  signal: AbortSignal,
): Promise<Validation | "busy"> {
  try {
    const body = await zipOf(set, key, item);
    const query = new URLSearchParams({ mode: "dry-run", keep: "true", ...set });
    const path = `/v1/config-import?${query}`;
    const { data } = await callApi<ImportReport>({ method: "POST", path, body, signal });
    const isChanged = data.sets.some(({ outcome }) => outcome !== "unchanged");
    return { state: isChanged ? "valid" : "unchanged", problems: [], others: [] };
  } catch (error) {
    if (!(error instanceof ApiProblem)) return { state: "unchecked", problems: [], others: [] };
    if (error.code === "CONFIG_IMPORT_BUSY") return "busy";
    const found = error.fields["problems"];
    if (error.status >= 500 || error.status === 0) return { state: "unchecked", problems: [], others: [] };
    return invalid(key, Array.isArray(found) ? (found as FileProblem[]) : [{ file: "", message: error.message }]);
  }
}

function invalid(key: string, found: readonly FileProblem[]): Validation {
  const here = found.filter(({ file, line }) => file === key && line !== undefined);
  const others = found.filter((problem) => !here.includes(problem));
  return {
    state: "invalid",
    problems: here.map(({ line = 1, column = 1, message, pointer = "" }) => ({
      line,
      column,
      message: pointer === "" ? message : `${pointer}: ${message}`,
    })),
    others: others.map(({ file, pointer = "", message }) =>
      [file === key ? "" : file, pointer, message].filter((part) => part !== "").join(": "),
    ),
  };
}

/** A file for the key, and the manifest that says how it is read. */
async function zipOf(set: SetName, key: string, item: Item): Promise<Blob> {
  const { strToU8, zipSync } = await import("fflate");
  const manifest = {
    format: "posthouse-config/1",
    sets: [
      {
        ...set,
        version: 0,
        hash: "",
        author: "",
        reason: "",
        createdAt: "",
        keys: { [key]: item.format },
        ...(item.expand ? { expand: [key] } : {}),
        ...(item.secret ? { secret: [key] } : {}),
      },
    ],
  };
  const zip = zipSync(
    { [key]: strToU8(item.value), "_manifest.json": strToU8(JSON.stringify(manifest)) },
    { level: 0 },
  );
  return new Blob([zip], { type: "application/zip" });
}
