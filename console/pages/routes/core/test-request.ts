/** The request of the route tester: in the URL's query, as a request to the server, and as a command. Pure. */
import type { ExplainRequest } from "#gateway/api";

export interface TestForm {
  readonly method: string;
  readonly url: string;
  /** One `Name: value` per line. */
  readonly headers: string;
  readonly peer: string;
  readonly listener: string;
  readonly zone: string;
}

/** Credentials of the tested request. They are never in the URL, which browsers and servers record. */
export interface TestSecrets {
  readonly bearer: string;
  readonly apiKey: string;
}

export const TEST_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] as const;
export const DEFAULT_PEER = "127.0.0.1";
export const DEFAULT_LISTENER = "default";

/** Names whose values are credentials, as the server hides them too. */
const SECRET_NAME =
  /^(authorization|proxy-authorization|cookie|set-cookie|x-api-key|.*(token|secret|password|api-?key|session).*)$/i;

export function isSecretHeader(name: string): boolean {
  return SECRET_NAME.test(name.trim());
}

export interface TestHeader {
  readonly name: string;
  readonly value: string;
}

export function headersOf(text: string): readonly TestHeader[] {
  return text.split("\n").flatMap((line) => {
    const colon = line.indexOf(":");
    return colon < 1 ? [] : [{ name: line.slice(0, colon).trim(), value: line.slice(colon + 1).trim() }];
  });
}

/** The lines that may be in the URL. */
export function withoutSecrets(text: string): string {
  return text
    .split("\n")
    .filter((line) => !isSecretHeader(line.split(":")[0] ?? ""))
    .join("\n");
}

/** Placeholder for a credential in a copied command. */
export const PLACEHOLDER = { bearer: "TOKEN", apiKey: "API-KEY" } as const;

export function explainRequestOf(form: TestForm, { bearer, apiKey }: TestSecrets): Omit<ExplainRequest, "namespace"> {
  const headers = [
    ...headersOf(form.headers),
    ...(bearer.trim() === "" ? [] : [{ name: "Authorization", value: `Bearer ${bearer.trim()}` }]),
    ...(apiKey.trim() === "" ? [] : [{ name: "X-Api-Key", value: apiKey.trim() }]),
  ];
  return {
    method: form.method,
    url: wholeUrl(form.url),
    ...(headers.length === 0 ? {} : { headers }),
    ...(form.peer.trim() === "" || form.peer === DEFAULT_PEER ? {} : { peer: form.peer.trim() }),
    ...(form.listener.trim() === "" || form.listener === DEFAULT_LISTENER ? {} : { listener: form.listener.trim() }),
    ...(form.zone.trim() === "" ? {} : { zone: form.zone.trim() }),
  };
}

/** `/orders` and `shop.example.com/orders` are meant as URLs, too. */
export function wholeUrl(text: string): string {
  const url = text.trim();
  if (/^https?:\/\//i.test(url)) return url;
  return url.startsWith("/") ? `http://localhost${url}` : `http://${url}`;
}

/** The words of `posthouse route test`, with placeholders for the credentials. */
export function testWords(form: TestForm, secrets: TestSecrets): readonly string[] {
  const option = (flag: string, value: string, usual: string) =>
    value.trim() === "" || value === usual ? [] : [flag, value.trim()];
  const headers = headersOf(form.headers).map(({ name, value }) => ({
    name,
    value: isSecretHeader(name) ? "SECRET" : value,
  }));
  if (secrets.apiKey.trim() !== "") headers.push({ name: "X-Api-Key", value: PLACEHOLDER.apiKey });
  return [
    form.method,
    wholeUrl(form.url),
    ...headers.flatMap(({ name, value }) => ["-H", `${name}: ${value}`]),
    ...(secrets.bearer.trim() === "" ? [] : ["--bearer", PLACEHOLDER.bearer]),
    ...option("--peer", form.peer, DEFAULT_PEER),
    ...option("--listener", form.listener, DEFAULT_LISTENER),
    ...option("--zone", form.zone, ""),
  ];
}
