/** Settings: which source overrides which, and the messages for mistakes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { expect, test } from "vitest";
import { loadSettings } from "#settings";
import { projectRoot } from "#test/kit";
import { type GuideBlock, guideBlocks } from "../kit/guide.ts";
import { Settings } from "../../kernel/settings/schema.ts";

const load = (inputs: Partial<Parameters<typeof loadSettings>[0]>) =>
  loadSettings({ environment: {}, flags: {}, ...inputs });

test("a flag beats the environment, that beats the file, that beats the default", () => {
  const { values, sources } = load({
    file: { path: "posthouse.yaml", text: "port: 1\ngatewayPort: 1\nagentPort: 1\n" },
    environment: { POSTHOUSE_PORT: "2", POSTHOUSE_GATEWAY_PORT: "2" },
    flags: { port: "3" },
  });
  expect([values.port, values.gatewayPort, values.agentPort, values.gatewayTlsPort]).toEqual([3, 2, 1, 8443]);
  expect([sources.port, sources.gatewayPort, sources.agentPort, sources.gatewayTlsPort]).toEqual([
    "flag",
    "environment",
    "file",
    "default",
  ]);
});

test("lists are read from commas and from repeated flags", () => {
  expect(load({ environment: { POSTHOUSE_ROLES: "gateway, agent" } }).values.roles).toEqual(["gateway", "agent"]);
  expect(load({ flags: { roles: ["gateway", "agent"] } }).values.roles).toEqual(["gateway", "agent"]);
});

test("the usual OpenTelemetry variables set the endpoint and its protocol, and ours beats it", () => {
  expect(load({ environment: {} }).values.otlpProtocol).toBe("http/protobuf");
  expect(load({ environment: { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" } }).values.otlpProtocol).toBe("grpc");
  const OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318";
  expect(load({ environment: { OTEL_EXPORTER_OTLP_ENDPOINT } }).values.otlpUrl).toBe(OTEL_EXPORTER_OTLP_ENDPOINT);
  const POSTHOUSE_OTLP_URL = "http://127.0.0.1:9";
  expect(load({ environment: { OTEL_EXPORTER_OTLP_ENDPOINT, POSTHOUSE_OTLP_URL } }).values.otlpUrl).toBe(
    POSTHOUSE_OTLP_URL,
  );
});

test("the settings of docs/guides/observability.md are accepted", () => {
  const guide = readFileSync(join(projectRoot, "docs/guides/observability.md"), "utf8");
  const { text } = guideBlocks(guide).find(({ marker }) => marker === "collector") as GuideBlock;
  const { values } = load({ file: { path: "posthouse.yaml", text } });
  expect([values.otlpProtocol, values.traceSampleRatio, values.traceSlowMs]).toEqual(["grpc", 0.01, 1000]);
});

test.each([
  ["a port that is not a number", { flags: { port: "eighty" } }, "SETTINGS_INVALID", ["port", "--port", "eighty"]],
  [
    "a port out of range",
    { environment: { POSTHOUSE_PORT: "99999" } },
    "SETTINGS_INVALID",
    ["POSTHOUSE_PORT", "65535"],
  ],
  ["an empty port", { flags: { port: " " } }, "SETTINGS_INVALID", ["--port"]],
  ["an unknown engine", { flags: { store: "redis" } }, "SETTINGS_INVALID", ["store", "lmdb, etcd, memory"]],
  ["an unknown role", { flags: { roles: ["king"] } }, "SETTINGS_INVALID", ["roles"]],
  ["a mistyped variable", { environment: { POSTHOUSE_PROT: "1" } }, "SETTINGS_UNKNOWN", ["POSTHOUSE_PROT"]],
  ["another spelling", { environment: { POSTHOUSE_GATEWAYPORT: "1" } }, "SETTINGS_UNKNOWN", ["POSTHOUSE_GATEWAY_PORT"]],
  ["an unknown name in the file", { file: { path: "p.yaml", text: "prt: 1" } }, "SETTINGS_UNKNOWN", ["prt", "p.yaml"]],
  ["a file that is not YAML", { file: { path: "p.yaml", text: "a: [" } }, "SETTINGS_FILE_UNREADABLE", ["p.yaml"]],
  ["a file that is a list", { file: { path: "p.yaml", text: "- a" } }, "SETTINGS_FILE_UNREADABLE", ["p.yaml"]],
])("%s is refused, naming the setting to correct", (_what, inputs, code, words) => {
  let error: unknown;
  try {
    load(inputs);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({ code });
  for (const word of words) expect((error as Error).message).toContain(word);
});

test("config sources are a list in the file, and JSON elsewhere; what they leave out has its default", () => {
  const source = { name: "a", type: "git", path: "/srv/a.git" };
  const complete = { ...source, branch: "main", intervalSeconds: 30, prune: false };
  const file = { path: "p.yaml", text: "configSources: [{ name: a, type: git, path: /srv/a.git }]" };
  expect(load({ file }).values.configSources).toEqual([complete]);
  const POSTHOUSE_CONFIG_SOURCES = JSON.stringify([source, { ...source, name: "b" }]);
  expect(load({ environment: { POSTHOUSE_CONFIG_SOURCES } }).values.configSources).toEqual([
    complete,
    { ...complete, name: "b" },
  ]);
  expect(load({ flags: { configSources: [JSON.stringify(source)] } }).values.configSources).toEqual([complete]);
});

test.each([
  ["no path", { name: "a", type: "git" }, ["configSources: /0", "path"]],
  ["an unknown field", { name: "a", type: "git", path: "/x", brnach: "b" }, ["/0", "brnach"]],
  ["a folder that leads out", { name: "a", type: "git", path: "/x", folder: "a/../../b" }, ["/0/folder"]],
  ["no JSON", "a", ["configSources: /0"]],
])("a config source with %s is refused, naming the field to correct", (_what, source, words) => {
  const text = typeof source === "string" ? source : JSON.stringify(source);
  for (const word of words) expect(() => load({ flags: { configSources: [text] } })).toThrow(word);
});

test("secrets are masked in what is shown, also when they are wrong", () => {
  const { shown } = load({ flags: { token: "very-secret" } });
  expect(JSON.stringify(shown)).not.toContain("very-secret");
  expect(() => load({ flags: { agentToken: "short" } })).toThrow(/^(?!.*short).*agentToken/);
});

test("the schema of the settings is a valid one", () => {
  const ajv = new Ajv({ strict: false, validateFormats: false });
  expect(ajv.validateSchema(Settings), ajv.errorsText()).toBe(true);
});
