/**
 * Every route × every built-in policy × own and foreign resources. Routes come from the server itself: a new route fails here until this
 * table says who may use it, and an action without a row does not compile.
 */
import { afterAll, expect, test } from "vitest";
import { type Action, BUILT_IN_POLICIES } from "#authorization";
import { type RouteRule, routeRulesOf } from "#http";
import { withControl } from "#test/kit";
import { withExplainer } from "../gateway/explain-kit.ts";

const EVERYONE = ["operator", "publisher", "editor", "viewer", "gateway", "agent", "service"];
const OPERATOR = ["operator"];
const PEOPLE = ["operator", "publisher", "editor", "viewer"];
const HOSTS = ["operator", "agent", "service"];

/** The policies that allow each action. */
const MAY: Record<Action, readonly string[]> = {
  "registry:read": EVERYONE,
  "registry:write": HOSTS,
  "registry:policies": OPERATOR,
  "registry:override": OPERATOR,
  "config:read": EVERYONE,
  "config:acknowledge": ["operator", "gateway", "agent", "service"],
  "config:draft": ["operator", "publisher", "editor"],
  "config:review": ["operator", "publisher", "editor"],
  "config:publish": ["operator", "publisher"],
  "config:rules": OPERATOR,
  "config:secrets": ["agent", "service"],
  "config:reveal": OPERATOR,
  "config:keys": OPERATOR,
  "config:audit": OPERATOR,
  "locks:read": EVERYONE,
  "locks:write": HOSTS,
  "locks:break": OPERATOR,
  "gateway:read": [...PEOPLE, "gateway"],
  "quotas:lease": ["operator", "gateway"],
  "traffic:report": ["operator", "gateway", "agent", "service"],
  "traffic:gateway": ["operator", "gateway"],
  "access:manage": OPERATOR,
  "access:explain": OPERATOR,
  "identity:read": ["operator", "viewer"],
  "identity:issue": ["operator", "gateway", "agent", "service"],
  "identity:manage": OPERATOR,
  "identity:delegate": ["operator", "agent"],
  "operations:read": ["operator", "viewer", "gateway"],
};

/** Routes that concern no single resource, or that decide by themselves about each: limits do not close them. */
const WITHOUT_RESOURCE = new Set([
  "GET /v1/namespaces",
  "GET /v1/system",
  "GET /v1/changes",
  "GET /v1/problems",
  "GET /v1/feed",
  "GET /v1/config-sources",
  "GET /v1/config-audit",
  "POST /v1/sessions",
  "PUT /v1/sessions/:session/heartbeat",
  "DELETE /v1/sessions/:session",
  "PUT /v1/watches/:watch/seen",
  "GET /v1/gateway/schema",
  "POST /v1/certificates",
  "POST /v1/service-tokens",
]);

/** Routes about more than the limits of a caller can hold, so that only callers without limits use them. */
const ABOUT_EVERYTHING = new Set([
  "GET /v1/members",
  "GET /v1/certificates",
  "GET /v1/certificates/:serial",
  "GET /v1/authority",
  "GET /v1/nodes",
  "POST /v1/config-sources/:source/sync",
]);

/** Routes that need no token. They have checks of their own, or nothing to protect. */
const OPEN = [
  "GET /",
  "GET /docs/errors",
  "GET /errors",
  "GET /errors/:code",
  "GET /livez",
  "GET /metrics",
  "GET /readyz",
  "GET /ui",
  "GET /ui/*",
  "GET /ui/api/oidc/callback",
  "GET /ui/api/oidc/start",
  "GET /ui/api/sign-in-methods",
  "GET /v1/openapi.json",
  "GET /v1/trust-bundle",
  "POST /ui/api/session",
  "POST /v1/device-logins",
  "POST /v1/device-logins/token",
  "POST /v1/joins",
  "POST /v1/renewals",
];

/** Routes about the caller itself, for every caller. */
const SELF = [
  "DELETE /ui/api/session",
  "DELETE /v1/me/token",
  "GET /ui/api/session",
  "GET /v1/acl/check",
  "GET /v1/device-logins/:userCode",
  "GET /v1/me",
  "GET /v1/watch/trust-bundle",
  "POST /v1/device-logins/:userCode/decision",
  "POST /v1/sign-in-links",
];

const control = await withControl(withExplainer());
afterAll(() => control[Symbol.asyncDispose]());
const routes = [...routeRulesOf(control.app)].filter(([route]) => !route.startsWith("HEAD "));
const LIMITS = { namespaces: ["mine"], apps: ["mine"], services: ["mine"] };
const tokens = new Map(
  EVERYONE.map((policy) => {
    const limits = policy === "operator" ? {} : { limits: LIMITS };
    return [policy, control.access.internalToken({ name: policy, policies: [policy], ...limits })] as const;
  }),
);

/** The status of a request that names `name` wherever a name can be, and that is otherwise not valid. */
async function ask(route: string, policy: string, name: string): Promise<number> {
  const [method = "", path = ""] = route.split(" ");
  const named = { namespace: name, app: name, service: name };
  const inPath: Record<string, string> = { ...named, profile: "default", key: "k", lock: "l" };
  const url = path.replaceAll(/:(\w+)/g, (_whole, param: string) => inPath[param] ?? "0");
  const body = { ...named, toNamespace: name, instances: [{ service: name }], "no-such-field": 1 };
  const hasBody = method !== "GET" && method !== "DELETE" && path !== "/v1/config-import";
  const headers = {
    authorization: `Bearer ${tokens.get(policy) ?? ""}`,
    "x-posthouse-namespace": name,
    "x-posthouse-app": name,
  };
  const query = new URLSearchParams({ ...named, toNamespace: name, "no-such-field": "1" });
  return (await control.call(method, `${url}?${query.toString()}`, hasBody ? body : undefined, headers)).status;
}

function isExpected(
  route: string,
  { action }: RouteRule,
  { policy, side }: { policy: string; side: "own" | "foreign" },
) {
  if (!MAY[action as Action].includes(policy)) return false;
  if (policy === "operator" || WITHOUT_RESOURCE.has(route)) return true;
  return side === "own" && !ABOUT_EVERYTHING.has(route);
}

test("the table has every built-in policy", () => {
  expect(BUILT_IN_POLICIES.map(({ name }) => name)).toEqual(EVERYONE);
});

test.each([
  ["open", OPEN],
  ["self", SELF],
] as const)("these routes are %s, and no others", (action, expected) => {
  const found = routes.filter(([, rule]) => rule.action === action).map(([route]) => route);
  expect(found.toSorted()).toEqual(expected.toSorted());
});

test("each policy reaches its routes on its own resources, and no others", async () => {
  const differs: string[] = [];
  let asked = 0;
  for (const [route, rule] of routes) {
    if (rule.action === "open" || rule.action === "self") continue;
    for (const policy of EVERYONE) {
      for (const side of ["own", "foreign"] as const) {
        const status = await ask(route, policy, side === "own" ? "mine" : "foreign");
        asked++;
        const isOpen = status !== 403 && status !== 401;
        if (isOpen !== isExpected(route, rule, { policy, side }))
          differs.push(`${policy}, ${side}: ${route} gave ${status}`);
      }
    }
  }
  expect(differs).toEqual([]);
  expect(asked).toBeGreaterThan(1_000);
});
