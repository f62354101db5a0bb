/**
 * Traffic that may cross a network in the clear: none, unless an operator allows it. Pure; no address here is ever
 * used.
 */
import { expect, test } from "vitest";
import { usesTls } from "../../server/listener-tls.ts";
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
  ["etcd that is not used", { etcdUrls: "http://10.0.0.1:2379" }],
  ["etcd over TLS", { store: "etcd", etcdUrls: "https://10.0.0.1:2379" }],
  ["a control API beyond this machine, which speaks TLS", { host: "0.0.0.0" }],
  ["an agent beyond this machine", { agentHost: "10.0.0.7" }],
  ["a gateway that has no token to lose", { roles: "gateway", gatewayFile: "a.yaml", controlUrls: "http://10.0.0.1" }],
])("%s may start", (_what, flags) => {
  expect(plaintextWays(load(flags))).toEqual([]);
  expect(() => refusePlaintext(load(flags))).not.toThrow();
});

test.each([
  [{ tls: "off", host: "0.0.0.0" }, "host"],
  [{ tls: "off", host: "::" }, "host"],
  [{ tls: "off", host: "10.0.0.7" }, "host"],
  [{ tls: "off", host: "control.internal" }, "host"],
  [{ tls: "off", roles: "gateway", host: "0.0.0.0" }, "host"],
  [{ tls: "off", agentHost: "0.0.0.0" }, "agentHost"],
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

test.each([
  ["auto", "127.0.0.1", "false", false],
  ["auto", "0.0.0.0", "false", true],
  ["auto", "10.0.0.7", "true", false],
  ["on", "127.0.0.1", "false", true],
  ["on", "10.0.0.7", "true", true],
  ["off", "10.0.0.7", "true", false],
] as const)("tls %s at %s, plaintext accepted: %s; TLS: %s", (tls, host, insecurePlaintext, expected) => {
  expect(usesTls(load({ tls, insecurePlaintext }), host)).toBe(expected);
});
