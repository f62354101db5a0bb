/** Shared by the tests of secrets: keys in memory that can be changed, tokens of all roles, and a canary to look for. */
import type { KeySource } from "#config-server";
import { eventually, type TestControl } from "#test/kit";

export const CANARY = "Zx9-canary-hunter2-Qw7";
export const MASK = "••••••";
export const SET = { namespace: "default", app: "orders", profile: "default" };
export const PATH = "/v1/config/default/orders/default";

export const key = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString("base64")}`;

/** Keys that a test hands out and takes away. A control API reloads them on request, and at this interval. */
export function heldKeys(text: string, reloadMs = 20): KeySource & { text: string } {
  return {
    name: "test keys",
    reloadMs,
    text,
    async read() {
      return this.text;
    },
  };
}

export type Role = "operator" | "editor" | "agent" | "viewer";

/** The headers of each role. */
export async function tokensOf(control: TestControl): Promise<Record<Role, { authorization: string }>> {
  const made = await Promise.all(
    (["editor", "agent", "viewer"] as const).map(async (role) => {
      const { json } = await control.call("POST", "/v1/tokens", {
        name: `some ${role}`,
        policies: [role],
        ...(role === "agent" ? { apps: ["*"] } : {}),
      });
      const headers = { authorization: `Bearer ${String(json["token"])}` };
      await eventually(
        "the token is known",
        async () => (await control.call("GET", "/v1/services", undefined, headers)).status === 200,
      );
      return [role, headers] as const;
    }),
  );
  return {
    operator: { authorization: `Bearer ${control.token}` },
    ...(Object.fromEntries(made) as Record<"editor" | "agent" | "viewer", { authorization: string }>),
  };
}

export const secret = (value: string, format = "text") => ({ format: format as "text", value, secret: true });

/** Publishes a release, and waits until it is live. */
export async function publish(control: TestControl, items: object, path = PATH): Promise<number> {
  const { status, json } = await control.call("POST", `${path}/releases`, { items });
  if (status !== 201) throw new Error(JSON.stringify(json));
  await eventually("the release is live", async () => {
    const told = await control.call("GET", path);
    return Number(told.json["revision"]) >= Number(json["revision"]) || told.status === 503;
  });
  return json["version"] as number;
}

/** Values that an effective config tells, by key. */
export function valuesOf(json: Record<string, unknown>): Record<string, string> {
  const items = json["items"] as Record<string, { value: string }>;
  return Object.fromEntries(Object.entries(items).map(([key, { value }]) => [key, value]));
}
