/** A control API with a real identity provider, and a browser that signs in there: its cookies, without a real browser. */
import { expect } from "vitest";
import type { OidcSettings } from "#access";
import { eventually, type TestControl, type TestControlOptions, withControl } from "#test/kit";
import { signInAtProvider } from "./person-at-provider.ts";
import { CLIENT_ID, CLIENT_SECRET, startProvider, type TestProvider, type TestProviderOptions } from "./provider.ts";

/** The console's address, where requests are injected. */
export const PUBLIC_URL = "http://127.0.0.1:8500";
export const CALLBACK = "/ui/api/oidc/callback";

export interface OidcSite extends AsyncDisposable {
  readonly provider: TestProvider;
  readonly control: TestControl;
  readonly settings: OidcSettings;
}

export function oidcSettings(provider: TestProvider, change: Partial<OidcSettings> = {}): OidcSettings {
  return {
    issuer: provider.issuer,
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    scopes: ["openid", "profile", "email", "groups"],
    claims: { groups: "groups" },
    sessionSeconds: 3600,
    ...change,
  };
}

export interface OidcSiteOptions extends Pick<TestProviderOptions, "people" | "codeSeconds" | "isConform"> {
  readonly change?: Partial<OidcSettings>;
  readonly control?: TestControlOptions;
  readonly publicUrl?: string;
}

/** Requests are injected, so the address of the console is only a name. */
export async function startOidcSite(options: OidcSiteOptions): Promise<OidcSite> {
  await using stack = new AsyncDisposableStack();
  const { publicUrl = PUBLIC_URL, change, control: controlOptions, ...about } = options;
  const provider = stack.use(await startProvider({ ...about, redirectUris: [`${publicUrl}${CALLBACK}`] }));
  const settings = oidcSettings(provider, change);
  const control = stack.use(await withControl({ ...controlOptions, oidc: settings, publicUrl: () => publicUrl }));
  const owned = stack.move();
  return { provider, control, settings, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Binds a subject to policies, and waits until the control API has it. */
export async function bind(control: TestControl, subject: string, body: object): Promise<void> {
  const url = `/v1/bindings/${encodeURIComponent(subject)}`;
  const { status, json } = await control.call("PUT", url, body);
  expect([status, json["code"]]).toEqual([expect.toSatisfy((one: number) => one < 300), undefined]);
  const [kind = "", name = ""] = subject.split(":", 2);
  const person = kind === "user" ? { user: name, groups: [] } : { user: "", groups: [name] };
  await eventually("the binding is known", () => Promise.resolve(control.access.policiesOf(person) !== undefined));
}

export async function unbind(control: TestControl, subject: string): Promise<void> {
  const { status } = await control.call("DELETE", `/v1/bindings/${encodeURIComponent(subject)}`);
  expect(status).toBe(204);
}

const HEADERS = { host: new URL(PUBLIC_URL).host, "sec-fetch-mode": "navigate" };

/** The first part of a sign-in: where the browser goes, and the cookie that it keeps. */
export async function begin(control: TestControl, query = "", headers: Record<string, string> = HEADERS) {
  const answer = await control.call("GET", `/ui/api/oidc/start${query}`, undefined, headers);
  const location = String(answer.headers["location"]);
  return { ...answer, location, cookie: String(answer.headers["set-cookie"]).split(";")[0] ?? "" };
}

/** Each browser has an address of its own, since many bad answers of one address are slowed down. */
let comings = 0;

/** The second part: the browser comes back with an answer of the provider. */
export async function comeBack(
  control: TestControl,
  answer: URL,
  cookie: string,
  { address, ...headers }: Record<string, string> = {},
) {
  const injected = await control.app.inject({
    url: `${answer.pathname}${answer.search}`,
    headers: { ...HEADERS, "sec-fetch-site": "cross-site", cookie, ...headers },
    remoteAddress: address ?? `10.0.${comings >> 8}.${comings++ & 255}`,
  });
  const text = injected.payload;
  const json = text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : {};
  const back = { status: injected.statusCode, headers: injected.headers, json };
  const cookies = [back.headers["set-cookie"]].flat().map(String);
  const session = cookies.find((one) => one.startsWith("posthouse_session="))?.split(";")[0];
  return { ...back, location: back.headers["location"], cookies, session };
}

/** A whole sign-in of a person at one member. */
export async function signInPerson(control: TestControl, login: string) {
  const { location, cookie } = await begin(control);
  return comeBack(control, await signInAtProvider(location, login), cookie);
}

/** The rights of a session, by its cookie. */
export function me(control: TestControl, session: string | undefined) {
  return control.call("GET", "/v1/me", undefined, {
    cookie: session ?? "",
    host: HEADERS.host,
    "sec-fetch-site": "same-origin",
  });
}
