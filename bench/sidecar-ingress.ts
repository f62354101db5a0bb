/** The ingress of the sidecar alone, as a process to measure: `node sidecar-ingress.ts MATERIAL PORT LOCAL_PORT`. */
import { readFile } from "node:fs/promises";
import { libraryHost } from "#base/library";
import { createMetrics } from "#base/prometheus";
import type { IdentityMaterial } from "#identity/core";
import { MeshIdentity } from "#identity/mesh";
import { RuleBook } from "#sidecar/rules";
import { SidecarCounters } from "../sidecar/counters.ts";
import { Ingress } from "../sidecar/ingress.ts";

const [, , file = "", port = "0", localPort = "0"] = process.argv;
const host = { ...libraryHost(), metrics: createMetrics() };
const material = JSON.parse(await readFile(file, "utf8")) as IdentityMaterial;
const identity = new MeshIdentity(host, { current: material, onChange: () => () => {} });
const rule = {
  from: { namespace: undefined, name: "orders" },
  to: "stock",
  allow: true,
  text: "orders may call stock",
};
const book = new RuleBook("shop", { strict: true, reportOnly: false, rules: [rule] });
const ingress = new Ingress(
  host,
  { namespace: "shop", service: "stock", local: { host: "127.0.0.1", port: Number(localPort) }, protocol: "tcp" },
  { identity, counters: new SidecarCounters(host), book: () => book, onRefused: () => {} },
);
ingress.server.listen(Number(port), "127.0.0.1", () => process.stdout.write("listening\n"));
