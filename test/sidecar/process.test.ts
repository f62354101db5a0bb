/** The whole of it in real processes: the built-in authority, an agent with two services, the gateway, rules, and a rotation under load. */
import { writeFile, mkdir } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { call, eventually, freePort, startPosthouse, startProgram, tempFolder } from "#test/kit";

/** An HTTP service that answers with what it received. */
async function echoService() {
  const server = createServer((request, response) => void request.pipe(response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

test.for([1, 2])(
  "services and a gateway with %i workers talk over mTLS by the built-in authority, and its rotation loses nothing",
  async (workers) => {
    await using folder = await tempFolder();
    await using service = await echoService();
    const services = join(folder.path, "agent", "services");
    await mkdir(services, { recursive: true });
    const port = await freePort();
    await writeFile(
      join(services, "shop.json"),
      JSON.stringify({
        services: [
          // The registered port is closed: what arrives came through the ingress.
          { name: "stock", port: await freePort(), sidecar: { ingress: { localPort: service.port } } },
          { name: "orders", port: 80, sidecar: { upstreams: [{ service: "stock", port }] } },
        ],
      }),
    );
    await using posthouse = await startPosthouse({ data: folder.path, args: ["--gateway-workers", String(workers)] });
    const { api, token } = posthouse;
    const release = async (app: string, key: string, value: unknown) => {
      const body = {
        items: { [key]: { format: "yaml", value: typeof value === "string" ? value : JSON.stringify(value) } },
      };
      const answer = await call(`${api}/v1/config/default/${app}/default/releases`, { method: "POST", token, body });
      expect(answer.text).toContain(`"version":`);
    };
    await release("gateway", "gateway.yaml", {
      clusters: [{ name: "stock", service: "stock", mesh: "required" }],
      routes: [{ name: "stock", match: { path: { prefix: "/" } }, cluster: "stock" }],
    });
    const ask = async (url: string) => {
      const answer = await call(url, { method: "POST", body: { asked: url } }).catch(() => undefined);
      return answer?.status === 200 && answer.json["asked"] === url;
    };
    const [direct, through] = [`http://127.0.0.1:${port}/`, `${posthouse.gateway}/`];
    await eventually("orders reaches stock", () => ask(direct));
    await eventually("the gateway reaches stock", () => ask(through));

    await release("posthouse", "service-rules.yaml", "rules: [gateway may call *]");
    await eventually("the rule closes stock to orders", async () => !(await ask(direct)));
    expect(await ask(through)).toBe(true);
    const verb = async (...args: string[]) => {
      const environment = { POSTHOUSE_TOKEN: token ?? "", POSTHOUSE_CONTROL_URLS: api };
      await using program = startProgram("bin/posthouse", ["rules", ...args], { environment });
      const { code } = await program.exited;
      return `${code} ${program.output()}${program.errors()}`;
    };
    if (workers === 1) {
      expect(await verb("ls")).toMatch(/^0 LINE\s+RULE\n1\s+gateway may call \*\n$/);
      const denied = await verb("test", "orders", "stock", "--exit-code");
      expect(denied).toMatch(/^1 allowed\s+no\n/);
      expect(denied).toContain('to allow it, add "orders may call stock"');
      expect(await verb("test", "gateway", "stock", "--exit-code")).toMatch(/^0 allowed\s+yes\n/);
      const listed = await verb("denials", "--data", folder.path);
      expect(listed).toMatch(/^0 AT\s+CALLER\s+SERVICE\s+DENIED\s+WHY\n/);
      expect(listed).toContain("spiffe://posthouse/ns/default/service/orders");
    }
    await release("posthouse", "service-rules.yaml", "rules: [gateway may call *, orders may call stock]");
    await eventually("and opens it", () => ask(direct));

    let done = 0;
    const failed: string[] = [];
    const stop = new AbortController();
    const load = [direct, through].map(async (url) => {
      while (!stop.signal.aborted) {
        if (await ask(url)) done += 1;
        else failed.push(url);
      }
    });
    for (const part of ["intermediate", "root"]) {
      const rotated = await call(`${api}/v1/authority/rotations`, { method: "POST", token, body: { part } });
      expect([part, rotated.status < 300, rotated.text]).toEqual([part, true, rotated.text]);
      const before = done;
      await eventually("calls go on", () => done > before + 40);
    }
    stop.abort();
    await Promise.all(load);
    expect(failed).toEqual([]);
    expect(await posthouse.stop()).toEqual({ code: 0, signal: null });
  },
);
