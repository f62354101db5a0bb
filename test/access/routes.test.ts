/**
 * Every route of the control API with a token of each role and of a stranger, and with an agent whose limits match
 * nothing. A route is closed unless this table opens it, including routes added later.
 */
import { expect, test } from "vitest";
import { eventually, withControl } from "#test/kit";

const REGISTER = [
  "PUT /v1/services/{service}/instances/{id}",
  "DELETE /v1/services/{service}/instances/{id}",
  "PUT /v1/services/{service}/instances/{id}/lifecycle",
  "PUT /v1/services/{service}/instances/{id}/weight",
  "PUT /v1/services/{service}/instances/{id}/checks/{check}",
  "POST /v1/batches",
];
const SESSIONS = ["POST /v1/sessions", "PUT /v1/sessions/{session}/heartbeat", "DELETE /v1/sessions/{session}"];
const TRAFFIC = ["POST /v1/traffic"];
const DELEGATE = ["POST /v1/service-tokens"];
const LOCKS = ["PUT /v1/locks/{name}", "DELETE /v1/locks/{name}"];
const SET = "/v1/config/{namespace}/{app}/{profile}";
const ACKNOWLEDGE = [`PUT ${SET}/acknowledgements/{subscriber}`];
/** Its own watch only; and questions that have a body. */
const ASK = [
  "PUT /v1/watches/{watch}/seen",
  "POST /v1/flags/{namespace}/{app}/{profile}/ofrep/v1/evaluate/flags",
  "POST /v1/flags/{namespace}/{app}/{profile}/ofrep/v1/evaluate/flags/{key}",
  "POST /ofrep/v1/evaluate/flags",
  "POST /ofrep/v1/evaluate/flags/{key}",
];
const DRAFT = [
  `PUT ${SET}/drafts/{key}`,
  `DELETE ${SET}/drafts/{key}`,
  `POST ${SET}/proposals`,
  `DELETE ${SET}/proposals/{proposal}`,
  `POST ${SET}/proposals/{proposal}/reviews`,
  "POST /v1/config-import",
  "POST /v1/gateway/check",
];

/** About the caller itself: a browser that it signs in, and links for another one. */
const SELF = ["POST /ui/api/session", "DELETE /ui/api/session", "POST /v1/sign-in-links"];

/** Whatever changes something or has a body, by role. */
const WRITES: Record<string, readonly string[]> = {
  viewer: [...SELF, ...ASK],
  // Limited to the app `gateway`, which is not the one asked for here.
  gateway: [...SELF, "PUT /v1/watches/{watch}/seen", "POST /v1/gateway/quotas", ...TRAFFIC],
  editor: [...SELF, ...ASK, ...DRAFT],
  agent: [...SELF, ...ASK, ...ACKNOWLEDGE, ...REGISTER, ...SESSIONS, ...LOCKS, ...TRAFFIC, ...DELEGATE],
  stranger: [...SELF, ...SESSIONS, ...LOCKS, ...TRAFFIC, ...DELEGATE, "PUT /v1/watches/{watch}/seen"],
};
/** Readings that not every role has. */
const OPERATORS = new Set(["GET /v1/tokens", "GET /v1/config-audit", "GET /v1/config-secrets"]);
const UNLIMITED = new Set([
  "GET /v1/config",
  "GET /v1/config-search",
  "GET /v1/config-export",
  "GET /v1/config-sources",
  "GET /v1/config/{namespace}/rules",
]);
/** For roles with operations:read. */
const SYSTEM = "GET /v1/system";
const isClosedToRead = (role: string, route: string): boolean => {
  if (OPERATORS.has(route)) return true;
  if (route === SYSTEM) return role !== "viewer" && role !== "gateway";
  if (role === "gateway") return UNLIMITED.has(route) || route.includes("{app}") || route === "GET /v1/watch/config";
  if (role !== "stranger") return false;
  return UNLIMITED.has(route) || route.includes("{app}") || route === "GET /v1/watch/config";
};

test("each role reaches what is listed for it, and no other route", async () => {
  await using control = await withControl();
  const limits = { apps: ["nothing"], services: ["nothing"] };
  const tokens = new Map<string, Record<string, string>>();
  for (const role of Object.keys(WRITES)) {
    const request =
      role === "stranger" ? { name: role, policies: ["agent"], ...limits } : { name: role, policies: [role], ...(role === "agent" ? { apps: ["*"] } : {}) };
    const { json } = await control.call("POST", "/v1/tokens", request);
    const headers = { authorization: `Bearer ${String(json["token"])}` };
    await eventually("it is known", async () => {
      return (await control.call("GET", "/v1/services", undefined, headers)).status === 200;
    });
    tokens.set(role, headers);
  }
  const { json } = await control.call("GET", "/v1/openapi.json");
  const { paths } = json as { paths: Record<string, Record<string, unknown>> };
  const differs: string[] = [];
  for (const [path, methods] of Object.entries(paths)) {
    if (["/livez", "/readyz", "/metrics"].includes(path) || path.endsWith("/watch")) continue;
    for (const method of Object.keys(methods).map((one) => one.toUpperCase())) {
      const route = `${method} ${path}`;
      // A query that no route takes ends what is let in with 400, so that nothing happens.
      const url = `${path.replaceAll(/\{(\w+)\}/g, "other")}?no-such-field=1`;
      for (const [role, headers] of tokens) {
        const body = method === "GET" || path === "/v1/config-import" ? undefined : {};
        const { status } = await control.call(method, url, body, headers);
        const open = method === "GET" ? !isClosedToRead(role, route) : (WRITES[role] as string[]).includes(route);
        if ((status !== 403) !== open) differs.push(`${role}: ${route} gave ${status}`);
      }
    }
  }
  expect(differs).toEqual([]);
});
