/** Calls to the control API by the session's cookie. */
import { signal } from "@preact/signals";

/** The signed-in principal, as `GET /ui/api/session` returns it. */
export interface ConsoleSession {
  readonly name: string;
  readonly policies: readonly string[];
  /** Id of the token that the browser signed in with. */
  readonly tokenId?: string;
  /** Actions that the server allows. */
  readonly actions: readonly string[];
  readonly csrf: string;
  readonly expiresAt: string;
}

export type SessionState =
  | { readonly kind: "loading" }
  | { readonly kind: "out" }
  | { readonly kind: "in"; readonly session: ConsoleSession };

export const sessionState = signal<SessionState>({ kind: "loading" });

const textOf = (value: unknown) => (typeof value === "string" ? value : undefined);

/** An RFC 9457 problem, or a failure of the network with the code `NETWORK`. */
export class ApiProblem extends Error {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(status: number, fields: Readonly<Record<string, unknown>>) {
    super(textOf(fields["detail"]) ?? textOf(fields["title"]) ?? `HTTP ${status}`);
    this.name = "ApiProblem";
    this.status = status;
    this.code = textOf(fields["code"]) ?? (status === 0 ? "NETWORK" : `HTTP_${status}`);
    this.title = textOf(fields["title"]) ?? "";
    this.fields = fields;
  }
}

export interface ApiCall {
  readonly method?: "GET" | "PUT" | "POST" | "DELETE";
  /** Path with query, such as `/v1/services?namespace=default`. */
  readonly path: string;
  /** Sent as JSON; a string is sent as it is, as text, and a Blob as its bytes. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

export interface ApiAnswer<Data> {
  readonly data: Data;
  readonly headers: Headers;
  /** Characters of the answer. */
  readonly characters: number;
}

/** @throws ApiProblem */
export async function callApi<Data>(call: ApiCall): Promise<ApiAnswer<Data>> {
  const { method = "GET", path, body, headers = {}, signal: abort } = call;
  const state = sessionState.peek();
  const isRaw = typeof body === "string" || body instanceof Blob;
  const sent: Record<string, string> = { accept: "application/json, */*", ...headers };
  if (body instanceof Blob) sent["content-type"] ??= body.type;
  else if (body !== undefined) sent["content-type"] ??= isRaw ? "text/plain; charset=utf-8" : "application/json";
  if (method !== "GET" && state.kind === "in") sent["x-posthouse-csrf"] = state.session.csrf;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: sent,
      credentials: "same-origin",
      ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
      ...(abort === undefined ? {} : { signal: abort }),
    });
  } catch (error) {
    if (abort?.aborted) throw error;
    throw new ApiProblem(0, { detail: error instanceof Error ? error.message : String(error) });
  }
  if (response.status === 401 && !path.startsWith("/ui/api/")) sessionState.value = { kind: "out" };
  const text = await response.text();
  const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
  const read: unknown = isJson && text !== "" ? JSON.parse(text) : text;
  if (!response.ok) {
    throw new ApiProblem(
      response.status,
      isJson ? (read as Record<string, unknown>) : { title: response.statusText, detail: text.slice(0, 300) },
    );
  }
  return { data: read as Data, headers: response.headers, characters: text.length };
}

/** `onSize` receives the characters of the answer. */
export async function readApi<Data>(
  path: string,
  abort?: AbortSignal,
  onSize?: (characters: number) => void,
): Promise<Data> {
  const { data, characters } = await callApi<Data>({ path, signal: abort });
  onSize?.(characters);
  return data;
}

/** Path with its variable parts encoded: pathOf`/v1/services/${name}`. */
export function pathOf(parts: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  return parts
    .map((part, index) => part + (index < values.length ? encodeURIComponent(values[index] ?? "") : ""))
    .join("");
}
