/** Filters and ranges in the URL's query, so that a link shows what its author saw. */
import { signal } from "@preact/signals";

const query = signal(new URLSearchParams(location.search));

/** The router changes the URL without an event of its own, so links are followed here too. */
export function syncQuery(): void {
  const next = new URLSearchParams(location.search);
  if (next.toString() !== query.peek().toString()) query.value = next;
}
addEventListener("popstate", syncQuery);

/** A value of the query and its setter. The fallback is not written into the URL. */
export function useQuery(name: string, fallback = ""): readonly [string, (value: string) => void] {
  const value = query.value.get(name) ?? fallback;
  return [value, (next) => setQuery({ [name]: next === fallback ? "" : next })];
}

export function setQuery(values: Readonly<Record<string, string>>): void {
  const next = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  history.replaceState(history.state, "", `${location.pathname}${text === "" ? "" : `?${text}`}`);
  query.value = next;
}

/** The namespace that pages show. */
export function useNamespace(): readonly [string, (value: string) => void] {
  return useQuery("namespace", "default");
}

/** Hours that histories and charts show. */
export function useRange(): readonly [number, (hours: number) => void] {
  const [value, set] = useQuery("range", "1");
  return [Number(value) || 1, (hours) => set(String(hours))];
}

/** A link within the console that keeps the namespace and the range. */
export function linkTo(path: string, values: Readonly<Record<string, string>> = {}): string {
  const next = new URLSearchParams();
  for (const kept of ["namespace", "range"]) {
    const value = query.value.get(kept);
    if (value !== null) next.set(kept, value);
  }
  for (const [name, value] of Object.entries(values)) next.set(name, value);
  const text = next.toString();
  return `/ui${path}${text === "" ? "" : `?${text}`}`;
}
