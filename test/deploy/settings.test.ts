/** The example settings: loaded by the program's own loader, as they are and with every line switched on. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadSettings, settingNames, settingRow } from "#settings";
import { projectRoot } from "#test/kit";

const read = (name: string) => readFileSync(join(projectRoot, "deploy", name), "utf8");
const load = (path: string, text: string) => loadSettings({ file: { path, text }, environment: {}, flags: {} });
/** With the settings that are off. */
const switchedOn = (text: string) => text.replaceAll(/^#(?=[a-z]\w+: ?|  - |    \w)/gim, "");

/** Settings for special cases, which the example leaves to docs/reference/settings.md. */
const SPECIAL = [
  "portBase",
  "trustDomain",
  "storeStartSeconds",
  "probeRefuse",
  "controlCaFile",
  "controlFingerprint",
  "secretKeyCommand",
  "gatewayNamespace",
  "gatewayFile",
  "gatewayFilters",
  "gatewayStickyKeyFile",
  "gatewayLoopback",
  "gatewayName",
  "oidcClientSecret",
  "oidcUserClaim",
  "oidcCaFile",
  "agentSocket",
  "agentSocketMode",
  "agentSocketOwner",
  "agentSocketGroup",
  "agentToken",
  "agentAccess",
  "agentLabels",
  "dnsNamespace",
  "dnsNear",
  "dnsTtlSeconds",
  "dnsQueriesPerSecond",
];

test.each(["posthouse.example.yaml", "agent.example.yaml", "gateway.example.yaml"])("%s can be loaded", (name) => {
  load(name, read(name));
  const all = load(name, switchedOn(read(name)));
  expect(Object.values(all.sources).filter((source) => source === "file").length).toBeGreaterThan(3);
});

test("the example changes no default as it is", () => {
  const { sources } = load("posthouse.example.yaml", read("posthouse.example.yaml"));
  expect(Object.values(sources).every((source) => source === "default")).toBe(true);
});

test("the example has every setting but those for special cases", () => {
  const { sources } = load("posthouse.example.yaml", switchedOn(read("posthouse.example.yaml")));
  const shown = settingNames.filter((name) => sources[name] === "file");
  expect([...shown, ...SPECIAL].toSorted()).toEqual([...settingNames].toSorted());
});

test("a value is the default, unless its text calls it an example", () => {
  const paragraphs = read("posthouse.example.yaml").split("\n\n");
  const wrong = paragraphs.flatMap((paragraph) => {
    if (/\bexamples?\b/.test(paragraph)) return [];
    const { sources, values } = load("posthouse.example.yaml", switchedOn(paragraph));
    return settingNames.filter(
      (name) => sources[name] === "file" && JSON.stringify(values[name]) !== JSON.stringify(settingRow(name).default),
    );
  });
  expect(wrong).toEqual([]);
});

test("the units for a gateway or an agent need a control API with TLS, or on their own machine", () => {
  for (const name of ["agent.example.yaml", "gateway.example.yaml"])
    expect(load(name, switchedOn(read(name))).values.controlUrls).toEqual(["https://control.example"]);
});
