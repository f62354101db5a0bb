/**
 * Revocation through the real control plane and an agent that joined it: a copy of a service's certificate is shut out within moments, the
 * service itself goes on with a new key, and the agent still knows after a restart without the control plane.
 */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { connect as netConnect, type Socket } from "node:net";
import { join } from "node:path";
import { connect } from "node:tls";
import { expect, test } from "vitest";
import { eventually, freePort, within } from "#test/kit";
import { exchange, tcpService } from "../sidecar/mesh-kit.ts";
import { newHost, startPlane, type JoinedHost } from "./joined-kit.ts";

interface Copy {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
}

/** The certificate and key that the agent keeps for a service, as a thief may have copied them. */
function copyOf(host: JoinedHost, service: string): Promise<Copy> {
  const folder = join(host.identity, "services");
  return eventually(`${service} has a certificate on disk`, async () => {
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter((one) => one.endsWith(".pem"))) {
      const [key = "", cert = "", ca = ""] = (await readFile(join(folder, name), "utf8")).split("# ----\n");
      if (new X509Certificate(cert).subjectAltName?.includes(`/service/${service}`)) return { key, cert, ca };
    }
    return undefined;
  });
}

/** Whether a new connection with this certificate reaches the service. */
async function reaches(port: number, copy: Copy): Promise<boolean> {
  const socket = thief(port, copy);
  socket.write("a");
  const answer = await Promise.race([once(socket, "data"), once(socket, "close")]).catch(() => []);
  socket.destroy();
  return String(answer[0]) === "a";
}

function thief(port: number, copy: Copy): Socket {
  return connect({ host: "127.0.0.1", port, ...copy, checkServerIdentity: () => undefined }).on("error", () => {});
}

/** A connection that has carried a byte. */
async function opened(socket: Socket): Promise<Socket> {
  socket.on("error", () => {}).write("a");
  await once(socket, "data");
  return socket;
}

test("a revoked certificate is out within two seconds, its service has another one, and a restart forgets nothing", async () => {
  await using plane = await startPlane();
  await using host = await newHost();
  await using service = await tcpService();
  await host.join(plane, await plane.joinToken({ services: ["orders", "stock"] }));
  const [ingress, egress] = [await freePort(), await freePort()];
  const folder = join(host.data, "agent", "services");
  await mkdir(folder, { recursive: true });
  const stock = { ingress: { port: ingress, localPort: service.port } };
  const services = [
    { name: "stock", port: await freePort(), protocol: "tcp", sidecar: stock },
    { name: "orders", port: 80, sidecar: { upstreams: [{ service: "stock", port: egress }] } },
  ];
  await writeFile(join(folder, "shop.json"), JSON.stringify({ services }));
  await host.start();
  const own = async () => String((await exchange(egress, "hello")).received) === "hello";
  await eventually("orders reaches stock", own);
  const copy = await copyOf(host, "orders");
  const open = [await opened(thief(ingress, copy)), await opened(netConnect(egress, "127.0.0.1"))];

  const serial = new X509Certificate(copy.cert).serialNumber.toLowerCase();
  expect((await plane.call("DELETE", `/v1/certificates/${serial}`)).status).toBe(204);
  await within(2_000, "both open connections end", () => open.every(({ closed }) => closed));
  expect(await reaches(ingress, copy)).toBe(false);
  await eventually("orders has a new certificate", own);
  expect((await copyOf(host, "orders")).cert).not.toBe(copy.cert);
  expect(await reaches(ingress, await copyOf(host, "orders"))).toBe(true);

  await host.stop();
  await plane.stop();
  await host.start();
  await eventually("orders reaches stock without the control plane", own);
  expect(await reaches(ingress, copy)).toBe(false);
});
