/** A program that collects the logs of one service until it is ended: `collect.ts DATA FILE`. */
import { mkdir } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { testHost } from "../../kit/host.ts";
import { collected } from "./kit.ts";

const [data = "", file = ""] = process.argv.slice(2);
await mkdir(data, { recursive: true });
const host = testHost();
await using logs = collected(host, data);
logs.define([{ name: { namespace: "default", service: "orders", id: "orders-1" }, logs: [{ file }] }]);
console.log("collecting");
await setTimeout(600_000);
