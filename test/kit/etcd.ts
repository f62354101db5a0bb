/** A real etcd for a test: one member on free loopback ports over a temporary folder, to be killed and frozen at will. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { request as httpsRequest } from "node:https";
import { createServer, type AddressInfo } from "node:net";
import { eventually, tempFolder } from "./temp.ts";

export interface TestEtcd extends AsyncDisposable {
  /** `http://127.0.0.1:port`. */
  readonly endpoint: string;
  /** Ends it at once, as a power cut would, and waits until it is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same ports and the same data, and waits until it answers. */
  restart(): Promise<void>;
  /** Stops its processes, and waits until they are stopped: connections stay open and nothing answers. */
  freeze(): Promise<void>;
  thaw(): void;
}

/** The letter by which the kernel names what a thread does; T is stopped. */
async function stateOf(pid: number, task: string): Promise<string | undefined> {
  return /^State:\s+(\w)/m.exec(await readFile(`/proc/${pid}/task/${task}/status`, "utf8"))?.[1];
}

/** Files by which etcd accepts TLS only, and only clients with a certificate of the authority. */
export interface EtcdCertificates {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** A client's certificate, by which the kit sees whether etcd answers. */
  readonly client: { readonly ca: string; readonly cert: string; readonly key: string };
}

/** Starts etcd and waits until it answers. @throws Error when etcd is not installed: the suite never skips */
export async function withEtcd(tls?: EtcdCertificates): Promise<TestEtcd> {
  const [etcd] = await withEtcdCluster(1, tls);
  return etcd as TestEtcd;
}

/** Several members that are one cluster. */
export async function withEtcdCluster(size: number, tls?: EtcdCertificates): Promise<TestEtcd[]> {
  const ports = await freePorts(size * 2);
  const members = Array.from({ length: size }, (_, index) => ({
    name: `test${index}`,
    endpoint: `${tls ? "https" : "http"}://127.0.0.1:${ports[index * 2]}`,
    peer: `http://127.0.0.1:${ports[index * 2 + 1]}`,
  }));
  const cluster = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
  const started = await Promise.all(members.map((member) => memberOf(member, cluster, tls)));
  try {
    await Promise.all(started.map((etcd) => etcd.restart()));
  } catch (error) {
    await Promise.all(started.map((etcd) => etcd[Symbol.asyncDispose]()));
    throw error;
  }
  return started;
}

async function memberOf(
  { name, endpoint, peer }: { name: string; endpoint: string; peer: string },
  cluster: string,
  tls: EtcdCertificates | undefined,
): Promise<TestEtcd> {
  const folder = await tempFolder();
  const args = [
    ["--name", name],
    ["--data-dir", folder.path],
    ["--listen-client-urls", endpoint],
    ["--advertise-client-urls", endpoint],
    ["--listen-peer-urls", peer],
    ["--initial-advertise-peer-urls", peer],
    ["--initial-cluster", cluster],
    // A killed process loses nothing that the kernel has; only a machine would.
    ["--unsafe-no-fsync"],
    ["--log-level", "error"],
    ...(tls
      ? [
          ["--cert-file", tls.certFile],
          ["--key-file", tls.keyFile],
          ["--trusted-ca-file", tls.caFile],
          ["--client-cert-auth"],
        ]
      : []),
  ].flat();

  let child: ChildProcess | undefined;
  let disposed = false;
  const killNow = (): void => void child?.kill("SIGKILL");
  process.once("exit", killNow);

  const etcd: TestEtcd = {
    endpoint,
    async kill() {
      const dying = child;
      child = undefined;
      if (!dying || dying.exitCode !== null || dying.signalCode !== null) return;
      const gone = once(dying, "exit");
      dying.kill("SIGKILL");
      await gone;
    },
    async restart() {
      await etcd.kill();
      if (disposed) throw new Error("this etcd was disposed of");
      child = spawn("etcd", args, { stdio: "ignore" });
      let failure: Error | undefined;
      child.once("error", (error) => {
        failure = new Error("etcd is not installed on this machine: apt-get install etcd-server", { cause: error });
      });
      child.once("exit", (code) => {
        failure ??= new Error(`etcd ended with code ${code}`);
      });
      const started = child;
      const answer = await eventually("etcd answers", async () => {
        if (failure && started === child) return failure;
        return (await healthOf(endpoint, tls)).health === "true";
      });
      if (answer instanceof Error) throw answer;
    },
    async freeze() {
      const pid = child?.pid;
      if (pid === undefined) return;
      process.kill(pid, "SIGSTOP");
      // The signal is on its way when kill returns; a busy machine lets it serve one more request.
      await eventually("etcd is stopped", async () => {
        const states = await Promise.all((await readdir(`/proc/${pid}/task`)).map((task) => stateOf(pid, task)));
        return states.every((state) => state === "T");
      });
    },
    thaw: () => void child?.kill("SIGCONT"),
    async [Symbol.asyncDispose]() {
      disposed = true;
      process.off("exit", killNow);
      await etcd.kill();
      await folder[Symbol.asyncDispose]();
    },
  };
  return etcd;
}

async function healthOf(endpoint: string, tls: EtcdCertificates | undefined): Promise<{ health?: string }> {
  const url = `${endpoint}/health`;
  if (!tls) return (await (await fetch(url, { signal: AbortSignal.timeout(1000) })).json()) as { health?: string };
  const request = httpsRequest(url, { ...tls.client, timeout: 1000 });
  const [answer] = (await once(request.end(), "response")) as [AsyncIterable<Buffer>];
  let text = "";
  for await (const chunk of answer) text += chunk.toString();
  return JSON.parse(text) as { health?: string };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(async (server) => {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    }),
  );
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}
