/** Checks of this host: Node, ports, disk, the data folder and the store in it. */
import { constants } from "node:fs";
import { access, readFile, stat, statfs } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { messageOf } from "#base";
import type { CheckInputs, DoctorCheck, Finding } from "./check.ts";

/** Free bytes below which writes may soon fail, and below which a person should look. */
const FREE_BYTES = { fail: 100 * 1024 ** 2, warn: 1024 ** 3 } as const;
/** Permission bits of everybody except the owner. */
const OTHERS = 0o077;

async function requiredNode(): Promise<string> {
  for (const path of ["../../package.json", "../../../package.json", "../../../../package.json"]) {
    const text = await readFile(new URL(path, import.meta.url), "utf8").catch(() => undefined);
    const engines =
      text === undefined ? undefined : (JSON.parse(text) as { engines?: { node?: string } }).engines?.node;
    if (engines !== undefined) return engines.replace(">=", "");
  }
  return "0";
}

function isOlder(found: string, least: string): boolean {
  const [a, b] = [found.split(".").map(Number), least.split(".").map(Number)];
  const at = b.findIndex((part, index) => (a[index] ?? 0) !== part);
  return at >= 0 && (a[at] ?? 0) < (b[at] ?? 0);
}

export const node: DoctorCheck = {
  name: "node",
  async run() {
    const least = await requiredNode();
    const { node: found } = process.versions;
    if (!isOlder(found, least)) return { level: "ok", detail: `Node ${found}` };
    return {
      level: "fail",
      detail: `Node ${found} is older than ${least}`,
      next: "install a newer Node from nodejs.org",
    };
  },
};

async function isFree(host: string, port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export const ports: DoctorCheck = {
  name: "ports",
  async run({ settings, server }) {
    const { host, port, gatewayHost, gatewayPort, gatewayTlsPort, agentHost, agentPort } = settings;
    const wanted = [
      ["control API", host, port],
      ["gateway", gatewayHost, gatewayPort],
      ["gateway, TLS", gatewayHost, gatewayTlsPort],
      ["agent", agentHost, agentPort],
    ] as const;
    const taken: string[] = [];
    for (const [name, address, number] of wanted) {
      if (number !== 0 && !(await isFree(address, number))) taken.push(`${name} ${number}`);
    }
    if (taken.length === 0) return { level: "ok", detail: "the ports of posthouse are free" };
    if (!("problem" in (await server)))
      return { level: "ok", detail: `in use, as expected of a running server: ${taken.join(", ")}` };
    return {
      level: "warn",
      detail: `in use, while no server answers: ${taken.join(", ")}`,
      next: "posthouse up --port-base 9500",
    };
  },
};

export const disk: DoctorCheck = {
  name: "disk",
  async run({ settings: { data } }) {
    const at = await stat(data).then(
      () => data,
      () => ".",
    );
    const { bavail, bsize } = await statfs(at);
    const free = bavail * bsize;
    const detail = `${(free / 1024 ** 3).toFixed(1)} GiB free for ${data}`;
    const next = "free space, or move the data folder with --data";
    if (free < FREE_BYTES.fail) return { level: "fail", detail, next };
    return free < FREE_BYTES.warn ? { level: "warn", detail, next } : { level: "ok", detail };
  },
};

export const dataFolder: DoctorCheck = {
  name: "data folder",
  async run({ settings: { data } }) {
    const found = await stat(data).catch(() => undefined);
    if (!found) return { level: "skip", detail: `${data} does not exist on this host` };
    if (!found.isDirectory())
      return { level: "fail", detail: `${data} is not a folder`, next: "posthouse up --data FOLDER" };
    try {
      await access(data, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      return {
        level: "fail",
        detail: `${data} cannot be written: ${messageOf(error)}`,
        next: `chown it to the user of posthouse`,
      };
    }
    const mode = found.mode & 0o777;
    if ((mode & OTHERS) === 0) return { level: "ok", detail: `${data}, mode ${mode.toString(8)}` };
    return {
      level: "warn",
      detail: `${data} has mode ${mode.toString(8)}: other users can read keys and tokens in it`,
      next: `chmod 700 ${data}`,
    };
  },
};

export const secrets: DoctorCheck = {
  name: "secret keys",
  async run({ settings: { data, store, secretKeyFile, secretKeyCommand } }) {
    if (secretKeyCommand.length > 0) return { level: "ok", detail: "the keys for secrets come from a program" };
    const path = secretKeyFile ?? join(data, "secret-keys");
    const found = await stat(path).catch(() => undefined);
    if (!found) {
      const detail = `no key for secrets at ${path}${store === "etcd" ? "" : "; the first start with secrets makes one"}`;
      return { level: "skip", detail };
    }
    if ((found.mode & OTHERS) !== 0) {
      return { level: "fail", detail: `other users can read ${path}`, next: `chmod 600 ${path}` };
    }
    if (secretKeyFile !== undefined) return { level: "ok", detail: `${path}, apart from the store` };
    return {
      level: "warn",
      detail: `${path} is the default key, in the same folder as the store, so a copy of the folder has both`,
      next: "posthouse secret-key generate > KEYS, then --secret-key-file KEYS",
    };
  },
};

export const store: DoctorCheck = {
  name: "store",
  async run(inputs) {
    const { store: engine, data } = inputs.settings;
    if (engine !== "lmdb") return { level: "skip", detail: `the store is ${engine}` };
    const found = await stat(join(data, "store", "data.mdb")).catch(() => undefined);
    if (!found) return { level: "skip", detail: `no store in ${data}` };
    if (!("problem" in (await inputs.server))) {
      return { level: "ok", detail: "open; a server checks it when it opens it, and this one is running" };
    }
    return checkStopped(inputs);
  },
};

/** The whole check of a store that no server has open: what a repair would find. */
async function checkStopped({ settings }: CheckInputs): Promise<Finding> {
  const { systemHost } = await import("#base/system");
  const { repairOwnStore } = await import("#server");
  const next = "posthouse store repair --dry-run";
  try {
    const { outcome, kept, damage } = await repairOwnStore(systemHost({ logLevel: "error" }), settings, {
      dryRun: true,
    });
    if (outcome === "whole") return { level: "ok", detail: `intact: ${kept.keys} keys` };
    return { level: "fail", detail: `damaged: ${damage.join("; ")}`, next };
  } catch (error) {
    return { level: "warn", detail: `not checked: ${messageOf(error)}`, next };
  }
}
