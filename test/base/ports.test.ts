/** Ports that are taken: all of them in one error, and one setting that moves them all. */
import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { loadSettings } from "#settings";
import { portsOf, requireFreePorts } from "../../server/ports.ts";

const free = { port: "0", agentPort: "0", gatewayPort: "0", gatewayTlsPort: "0", dnsPort: "0", operationsPort: "0" };

async function takenPort(): Promise<{ port: string } & AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: String((server.address() as AddressInfo).port),
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

test("every taken port is in one error, with its flag and the way out", async () => {
  await using control = await takenPort();
  await using dns = await takenPort();
  const flags = { ...free, port: control.port, dnsPort: dns.port };
  const { values } = loadSettings({ environment: {}, flags });
  await expect(requireFreePorts(values)).rejects.toMatchObject({
    code: "SERVER_PORT_IN_USE",
    message: expect.stringMatching(
      new RegExp(`${control.port} \\(--port\\), 127.0.0.1:${dns.port} \\(--dns-port\\) are in use.*--port-base`),
    ) as string,
    extra: { fields: ["/port", "/dnsPort"] },
  });
  await expect(requireFreePorts(loadSettings({ environment: {}, flags: free }).values)).resolves.toBeUndefined();
});

test("only the ports of the wanted roles are looked at", () => {
  const of = (roles: string) =>
    portsOf(loadSettings({ environment: {}, flags: { roles } }).values).map(({ setting }) => setting);
  expect(of("gateway")).toEqual(["operationsPort", "gatewayPort", "gatewayTlsPort"]);
  expect(of("registry,config-server")).toEqual(["port", "dnsPort", "dnsPort"]);
});

test("--port-base moves all ports and where the control plane is looked for; what is set itself stays", () => {
  const { values, sources } = loadSettings({
    environment: { POSTHOUSE_GATEWAY_PORT: "80" },
    flags: { portBase: "9500" },
  });
  const { port, agentPort, operationsPort, gatewayPort, gatewayTlsPort, dnsPort, controlUrls } = values;
  expect([port, agentPort, operationsPort, gatewayPort, gatewayTlsPort, dnsPort]).toEqual([
    9500, 9501, 9502, 80, 9504, 9505,
  ]);
  expect(controlUrls).toEqual(["http://127.0.0.1:9500"]);
  expect([sources.port, sources.gatewayPort]).toEqual(["flag", "environment"]);
});
