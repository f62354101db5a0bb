/** All roles in one process, whose store finds no room: the gateway serves on, writes are refused, and all heals by itself. */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { call, eventually, startPosthouse, startService, tempFolder } from "#test/kit";

/** Kilobytes that a file may have: what the kernel then says is what it says of a full disk. */
const FILE_KILOBYTES_MAX = 3 * 1024;

test(
  "a full disk refuses writes, ends neither the process nor the gateway, and writes work again once there is room",
  { timeout: 300_000 },
  async () => {
    await using data = await tempFolder();
    await using posthouse = await startPosthouse({
      data: data.path,
      ulimit: `-S -f ${FILE_KILOBYTES_MAX}`,
      startMs: 60_000,
    });
    await using service = await startService("orders");
    const { token, api, agent, gateway } = posthouse;
    const registered = await call(`${agent}/v1/agent/services/orders-1`, {
      method: "PUT",
      token: posthouse.agentToken,
      body: { name: "orders", port: service.port },
    });
    expect(registered.status).toBe(204);
    const release = (app: string, items: object) =>
      call(`${api}/v1/config/default/${app}/default/releases`, { method: "POST", token, body: { items } });
    const routes = { routes: [{ name: "orders", match: { path: { prefix: "/" } }, service: "orders" }] };
    await release("gateway", { "gateway.yaml": { format: "yaml", value: JSON.stringify(routes) } });
    await eventually("the gateway serves", async () => (await call(`${gateway}/`)).status === 200);

    const large = (index: number) => ({ "a.txt": { format: "text", value: String(index).padEnd(200_000, "x") } });
    const refused = await eventually("a release is refused", async () => {
      for (let index = 0; index < 40; index++) {
        const answer = await release("large", large(index));
        if (answer.status !== 201) return answer;
      }
      return undefined;
    });
    expect([refused.status, refused.json["code"]]).toEqual([507, "STORE_FULL"]);
    expect(refused.json["detail"]).toContain("Free space");
    for (let index = 0; index < 20; index++) {
      expect((await call(`${gateway}/`)).status).toBe(200);
      const again = await release("large", large(index));
      expect([503, 507]).toContain(again.status);
    }
    // Reads go on, and readiness says what cannot be done.
    await eventually("configs are read", async () => (await call(`${api}/v1/config`, { token })).status === 200);
    const ready = await eventually("it says why", async () => {
      const answer = await call(`${api}/readyz`, { token });
      return answer.text.includes("No space is left") && answer;
    });
    expect(ready.status).toBe(200);

    execFileSync("prlimit", ["--pid", String(posthouse.child.pid), "--fsize=unlimited"]);
    await eventually("writes work again", async () => (await release("large", large(1))).status === 201);
    await eventually("it is well", async () => !(await call(`${api}/readyz`, { token })).text.includes("No space"));
    expect((await call(`${gateway}/`)).status).toBe(200);
    expect(await posthouse.stop()).toEqual({ code: 0, signal: null });
  },
);
