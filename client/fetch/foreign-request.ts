/**
 * Requests and answers between two copies of fetch: undici the package, which calls services, and the one inside Node, whose classes
 * programs use. Each accepts only its own `Request` and `FormData`.
 */
import {
  FormData as OwnFormData,
  Request as OwnRequest,
  type RequestInit as OwnInit,
  type Response as OwnResponse,
} from "undici";

type Foreign = Parameters<typeof globalThis.fetch>[0];

/** Statuses of answers without a body. @see https://fetch.spec.whatwg.org/#null-body-status */
const NULL_BODY = new Set([101, 103, 204, 205, 304]);

/** The URL of a request, however it was given. */
export function urlOf(input: Foreign | OwnRequest): string {
  return typeof input === "string" ? input : input instanceof URL ? input.href : input.url;
}

/** The input and options in classes that undici's fetch accepts. */
export function ownRequest(
  input: Foreign | OwnRequest,
  init: RequestInit | undefined,
): [string | URL | OwnRequest, OwnInit] {
  const options = (init ?? {}) as unknown as OwnInit;
  const own = options.body instanceof FormData ? { ...options, body: ownForm(options.body) } : options;
  if (typeof input === "string" || input instanceof URL || input instanceof OwnRequest) return [input, own];
  const { method, headers, body, signal, redirect } = input;
  const copied = {
    method,
    headers: [...headers],
    signal,
    redirect,
    ...(body ? { body, duplex: "half" as const } : {}),
  };
  return [input.url, { ...(copied as OwnInit), ...own }];
}

function ownForm(form: FormData): OwnFormData {
  const copy = new OwnFormData();
  for (const [name, value] of form) {
    if (typeof value === "string") copy.append(name, value);
    else copy.append(name, value, value.name);
  }
  return copy;
}

/** The answer as the `Response` of the global fetch, for programs that test its class. */
export function globalResponse(answer: OwnResponse): Response {
  const { status, statusText, url, redirected } = answer;
  const body = NULL_BODY.has(status) ? null : (answer.body as ReadableStream | null);
  const response = new Response(body, { status, statusText, headers: [...answer.headers] });
  return Object.defineProperties(response, { url: { value: url }, redirected: { value: redirected } });
}
