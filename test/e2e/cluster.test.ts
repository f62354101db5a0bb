/** Two servers over one etcd: writes to one are visible on the other, and etcd may be away for a while. */
import { expect, test } from "vitest";
import {
  call,
  eventually,
  restartByKill,
  restartBySigterm,
  startPosthouse,
  startService,
  tempFolder,
  withEtcd,
} from "#test/kit";

test(
  "two servers share one etcd; each serves the other's writes, and both survive restarts of etcd and their own",
  { timeout: 300_000 },
  async () => {
    await using folder = await tempFolder();
    await using etcd = await withEtcd();
    await using service = await startService("orders");
    const roles = ["--roles", "registry", "config-server"];
    const args = [...roles, "--store", "etcd", "--etcd-urls", etcd.endpoint, "--probe-loopback", "true"];
    await using one = await startPosthouse({ data: `${folder.path}/one`, args });
    await using two = await startPosthouse({ data: `${folder.path}/two`, args });
    const { token } = one;
    expect(two.token).toBeUndefined();

    const checks = [{ id: "http", type: "http", path: "/health", intervalSeconds: 0.2, fall: 2 }];
    const registration = { address: "127.0.0.1", port: service.port, checks };
    const path = "/v1/services/orders/instances";
    const put = await call(`${one.api}${path}/a`, { method: "PUT", token, body: registration });
    const { revision } = put.json;
    const seen = await call(`${two.api}${path}?revision=${String(revision)}`, { token });
    expect(seen.json).toMatchObject({ instances: [{ id: "a", port: service.port }] });
    const status = async (api: string) => {
      const { json } = await call(`${api}${path}`, { token });
      return (json["instances"] as { status: string }[] | undefined)?.[0]?.status;
    };
    for (const api of [one.api, two.api])
      await eventually("probed by one of them", async () => (await status(api)) === "passing");

    await etcd.freeze();
    const frozen = await call(`${one.api}${path}/b`, { method: "PUT", token, body: registration });
    expect([frozen.status, frozen.json["code"]]).toEqual([503, "STORE_UNAVAILABLE"]);
    expect(await status(two.api)).toBe("passing");
    etcd.thaw();

    await etcd.restart();
    const again = await eventually("writable again", async () => {
      const answer = await call(`${two.api}${path}/c`, { method: "PUT", token, body: registration });
      return answer.status === 201 || answer.status === 200 ? answer : undefined;
    });
    const late = await eventually("the other has it", async () => {
      const { json } = await call(`${one.api}${path}?revision=${String(again.json["revision"])}`, { token });
      return (json["instances"] as { id: string }[] | undefined)?.map(({ id }) => id);
    });
    expect(late).toContain("c");

    // The member that probes dies; the other takes over.
    one.kill();
    await one.exited;
    service.kill();
    await eventually("the remaining member finds it critical", async () => (await status(two.api)) === "critical");

    // Both start again: the killed one, and the other after a stop.
    await using back = await restartByKill(one);
    await using other = await restartBySigterm(two);
    for (const { api } of [back, other])
      await eventually("all is known, and still judged", async () => {
        const { json } = await call(`${api}${path}`, { token });
        const found = (json["instances"] ?? []) as { id: string; status: string }[];
        return found.map(({ id, status: is }) => `${id} ${is}`).join() === "a critical,c critical";
      });
  },
);
