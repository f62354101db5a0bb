/** Checks of the other roles: the agent of this host, the certificate of the gateway, and etcd. */
import { connect } from "node:tls";
import { messageOf } from "#base";
import { addressText } from "../instance-columns.ts";
import { callableHost } from "../role-address.ts";
import type { CheckInputs, DoctorCheck, Finding } from "./check.ts";
import { EXPIRY_DAYS } from "./server.ts";

/** Milliseconds that a role of this host may take to answer. */
const ANSWER_MS_MAX = 2_000;
const DAY_MS = 86_400_000;

export const agent: DoctorCheck = {
  name: "agent",
  async run({ settings: { agentHost, agentPort } }) {
    const url = `http://${addressText({ address: callableHost(agentHost), port: agentPort })}/livez`;
    try {
      const { status } = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
      return status === 200
        ? { level: "ok", detail: `${url} answers` }
        : { level: "fail", detail: `${url} answers ${status}`, next: "the agent's log has the cause" };
    } catch {
      return {
        level: "warn",
        detail: `no agent at ${url}`,
        next: "posthouse up --roles agent, on hosts that run services",
      };
    }
  },
};

/** The life of the certificate that a port presents; undefined without an answer. */
function certificateLife(host: string, port: number): Promise<{ begin: Date; end: Date } | undefined> {
  return new Promise((resolve) => {
    // Only the dates are read, so any issuer will do.
    const socket = connect({ host, port, rejectUnauthorized: false, timeout: ANSWER_MS_MAX });
    const end = (life: { begin: Date; end: Date } | undefined) => {
      socket.destroy();
      resolve(life);
    };
    socket.once("secureConnect", () => {
      const { valid_from: begin, valid_to: until } = socket.getPeerCertificate();
      end({ begin: new Date(begin), end: new Date(until) });
    });
    socket.once("timeout", () => end(undefined));
    socket.once("error", () => end(undefined));
  });
}

export const certificate: DoctorCheck = {
  name: "certificate",
  async run({ settings: { gatewayHost, gatewayTlsPort } }) {
    const host = callableHost(gatewayHost);
    const life = await certificateLife(host, gatewayTlsPort);
    if (life === undefined) return { level: "skip", detail: `no gateway with TLS at ${host}:${gatewayTlsPort}` };
    const leftMs = life.end.getTime() - Date.now();
    // One of a day renews itself at half its life, so it is late only near its end.
    const lateMs = Math.min(EXPIRY_DAYS * DAY_MS, (life.end.getTime() - life.begin.getTime()) / 4);
    const detail = `the gateway's certificate ends at ${life.end.toISOString()}`;
    if (leftMs < 0)
      return {
        level: "fail",
        detail: "the gateway's certificate has expired",
        next: "renew it; posthouse reads it again",
      };
    return leftMs < lateMs
      ? { level: "warn", detail, next: "renew it; posthouse reads it again" }
      : { level: "ok", detail };
  },
};

export const etcd: DoctorCheck = {
  name: "etcd",
  async run({ settings: { store, etcdUrls } }: CheckInputs): Promise<Finding> {
    if (store !== "etcd") return { level: "skip", detail: `the store is ${store}` };
    const silent: string[] = [];
    for (const url of etcdUrls) {
      try {
        const answer = await fetch(new URL("/health", url), { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
        const { health } = (await answer.json()) as { health?: string };
        if (health !== "true") silent.push(`${url} is not healthy`);
      } catch (error) {
        silent.push(`${url}: ${messageOf(error)}`);
      }
    }
    if (silent.length === 0) return { level: "ok", detail: `${etcdUrls.length} members are healthy` };
    const level = silent.length * 2 < etcdUrls.length ? "warn" : "fail";
    return { level, detail: silent.join("; "), next: "etcdctl endpoint status" };
  },
};
