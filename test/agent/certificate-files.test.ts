/** Certificates of services as files: who gets which, their modes, and the reload after each renewal. */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { WallClock } from "../identity/kit.ts";
import { HOUR_MS, newHost, startPlane } from "./joined-kit.ts";

interface Status {
  readonly certificates?: readonly { readonly id: string; readonly written: boolean; readonly error?: string }[];
}

test("a service's certificate is in its files with their mode, and each renewal is followed by a reload", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = stack.use(await startPlane(new WallClock(Date.now() - 14 * HOUR_MS)));
  const host = stack.use(await newHost(plane.clock));
  await host.join(plane, await plane.joinToken({ services: ["orders"] }));
  const folder = join(host.data, "tls");
  const services = join(host.data, "agent", "services");
  await mkdir(folder);
  await mkdir(services, { recursive: true });
  const [certificate, key, bundle, reloads] = ["cert.pem", "key.pem", "ca.pem", "reloads"].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  const group = process.getgid?.() ?? 0;
  const files = { certificate, key, bundle, mode: "0640", group: String(group) };
  const reload = {
    type: "command",
    command: ["/bin/sh", "-c", `cat ${certificate} >> ${reloads}`],
    quietSeconds: 0.05,
  };
  const definition = {
    services: [
      { name: "orders", port: 4001, id: "one", certificate: { ...files, reload } },
      { name: "stock", port: 4002, id: "two", certificate: { certificate: join(folder, "stock.pem") } },
    ],
  };
  await writeFile(join(services, "orders.yaml"), JSON.stringify(definition));
  await host.start({ agentExecAllow: "/bin/sh" });
  const states = async () => (await host.call<Status>("GET", "/v1/agent/status")).body.certificates ?? [];
  await eventually("it is written", async () => (await states()).find(({ id }) => id === "one")?.written);

  const leaf = new X509Certificate(await readFile(certificate));
  expect(leaf.subjectAltName).toContain("URI:spiffe://posthouse/ns/default/service/orders");
  expect(leaf.checkHost("orders.default")).toBe("orders.default");
  expect(leaf.checkPrivateKey(createPrivateKey(await readFile(key)))).toBe(true);
  for (const path of [certificate, key, bundle]) expect((await stat(path)).mode & 0o777).toBe(0o640);
  const count = async () => (await readFile(reloads, "utf8").catch(() => "")).split("BEGIN CERTIFICATE").length - 1;
  await eventually("it is reloaded", async () => (await count()) > 0);

  // A host gets no certificate for a service that it is not bound to.
  const refused = await eventually(
    "the other one says why",
    async () => (await states()).find(({ id }) => id === "two")?.error,
  );
  expect(refused).toContain('no certificate for the service "stock"');

  await chmod(certificate, 0o604);
  const loaded = await count();
  plane.clock.move(13.5 * HOUR_MS);
  await host.stop();
  await host.start({ agentExecAllow: "/bin/sh" });
  await eventually("it is renewed", async () => {
    const { serialNumber } = new X509Certificate(await readFile(certificate));
    return serialNumber !== leaf.serialNumber;
  });
  await eventually("it is reloaded again", async () => (await count()) > loaded);
  expect((await stat(certificate)).mode & 0o777).toBe(0o604);
  expect(createPrivateKey(await readFile(key)).export({ type: "pkcs8", format: "pem" })).toBeDefined();
});
