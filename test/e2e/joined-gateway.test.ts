/**
 * A gateway on a machine of its own that has joined: two workers in a real process, with no token and no other setting. It reads its routes
 * by its certificate, reaches a service through the ingress of its sidecar, renews its certificate, and ends with its node.
 */
import { X509Certificate } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { call, eventually, freePort, startPosthouse, startProgram, tempFolder, within } from "#test/kit";
import { HOUR_MS, newHost, startPlane } from "../agent/joined-kit.ts";
import { WallClock } from "../identity/kit.ts";

async function service() {
  const server = createServer((_request, response) => response.end("well"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("a gateway that joined routes over mTLS without a token, renews its certificate, and ends with its node", async () => {
  // The clock of the plane is behind at the join, so that half of the certificate's life has passed when the gateway starts.
  const clock = new WallClock(Date.now() - 14 * HOUR_MS);
  await using plane = await startPlane(clock);
  await using folder = await tempFolder();
  const token = await plane.joinToken({ kind: "gateway", name: "edge-1" });
  const args = ["agent", "join", plane.url, "--join-token", token, "--name", "edge-1", "--data", folder.path];
  await using joining = startProgram("bin/posthouse", args);
  expect(await joining.exited, joining.errors()).toMatchObject({ code: 0 });
  expect(joining.output()).toContain("spiffe://posthouse/gateway/edge-1");
  expect(joining.output()).toContain(`posthouse up --roles gateway --data ${folder.path}`);
  const certificate = async () =>
    new X509Certificate(await readFile(join(folder.path, "agent", "identity", "certificate.pem"), "utf8"));
  const first = (await certificate()).serialNumber;
  clock.move(14 * HOUR_MS);

  await using upstream = await service();
  await using host = await newHost(clock);
  await host.join(plane, await plane.joinToken({ name: "web-1", services: ["stock"] }));
  const definitions = join(host.data, "agent", "services");
  await mkdir(definitions, { recursive: true });
  // The registered port is closed: what arrives came through the ingress.
  const stock = { name: "stock", port: await freePort(), sidecar: { ingress: { localPort: upstream.port } } };
  await writeFile(join(definitions, "stock.json"), JSON.stringify({ services: [stock] }));
  await host.start();
  const config = {
    clusters: [{ name: "stock", service: "stock", mesh: "required" }],
    routes: [{ name: "stock", match: { path: { prefix: "/" } }, cluster: "stock" }],
  };
  const items = { "gateway.yaml": { format: "yaml", value: JSON.stringify(config) } };
  expect((await plane.call("POST", "/v1/config/default/gateway/default/releases", { items })).status).toBe(201);

  const flags = ["--roles", "gateway", "--gateway-workers", "2"];
  await using gateway = await startPosthouse({ data: folder.path, args: flags });
  const answered = async () => (await call(`${gateway.gateway}/`)).text;
  await eventually("it reaches stock", async () => (await answered()) === "well");
  await eventually("its certificate is renewed", async () => (await certificate()).serialNumber !== first);
  await eventually("it goes on", async () => (await answered()) === "well");
  const { body } = await plane.call<{ nodes: object[] }>("GET", "/v1/nodes");
  expect(body.nodes).toContainEqual(expect.objectContaining({ kind: "gateway", name: "edge-1", certificates: 2 }));

  expect((await plane.call("DELETE", "/v1/nodes/gateway/edge-1")).status).toBe(204);
  await within(2_000, "stock refuses it", async () => (await call(`${gateway.gateway}/`)).status === 502);
  expect(await gateway.stop()).toEqual({ code: 0, signal: null });
});
