/**
 * Traffic that may cross a network in the clear: none, unless an operator allows it. Pure; no address here is ever
 * used.
 */
import { expect, test } from "vitest";
import { plaintextWays, refusePlaintext } from "../../server/plaintext.ts";
import { loadSettings } from "#settings";

const load = (flags: Record<string, string | string[]>) => loadSettings({ environment: {}, flags: flags }).values;
const AGENT = { roles: "agent", token: "ph_x" };

test.each([
  ["nothing said", {}],
  ["IPv6 loopback", { host: "::1", agentHost: "localhost" }],
  ["a gateway, whose own port is for its callers", { gatewayHost: "0.0.0.0" }],
  ["a control API over TLS", { ...AGENT, controlUrls: "https://control.example" }],
  ["an agent beside it", { ...AGENT, controlUrls: "http://[::1]:8500" }],
  ["addresses of roles that are not here", { ...AGENT, host: "10.0.0.1", etcdUrls: "http://10.0.0.1:2379" }],
  ["etcd that is not used", { etcdUrls: "https://10.0.0.1:2379" }],
  ["a gateway that has no token to lose", { roles: "gateway", gatewayFile: "a.yaml", controlUrls: "http://10.0.0.1" }],
])("%s may start", (_what, flags) => {
  expect(plaintextWays(load(flags))).toEqual([]);
  expect(() => refusePlaintext(load(flags))).not.toThrow();
});

test.each([
  [{ host: "0.0.0.0" }, "host"],
  [{ host: "::" }, "host"],
  [{ host: "10.0.0.7" }, "host"],
  [{ host: "control.internal" }, "host"],
  [{ roles: "gateway", host: "0.0.0.0" }, "host"],
  [{ agentHost: "0.0.0.0" }, "agentHost"],
  [{ ...AGENT, controlUrls: "http://10.0.0.1:8500" }, "controlUrls"],
  [{ ...AGENT, controlUrls: ["http://127.0.0.1:8500", "http://10.0.0.1:8500"] }, "controlUrls"],
  [{ store: "etcd", etcdUrls: "http://etcd-0:2379" }, "etcdUrls"],
] as const)("%j is refused with its setting, unless plaintext is accepted", (flags, setting) => {
  const settings = { ...flags } as Record<string, string>;
  expect(() => refusePlaintext(load(settings))).toThrow(
    expect.objectContaining({ code: "SERVER_PLAINTEXT", message: expect.stringContaining(`"${setting}"`) }),
  );
  expect(() => refusePlaintext(load({ ...settings, insecurePlaintext: "true" }))).not.toThrow();
});

test("TLS to etcd is refused as long as it is not there, also where plaintext is accepted", () => {
  const settings = load({ store: "etcd", etcdUrls: "https://127.0.0.1:2379", insecurePlaintext: "true" });
  expect(() => refusePlaintext(settings)).toThrow(expect.objectContaining({ code: "SERVER_TLS_NOT_SUPPORTED" }));
});
