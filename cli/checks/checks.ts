/** The checks of `posthouse doctor`, in their order. */
import { authority } from "./authority.ts";
import type { DoctorCheck } from "./check.ts";
import { dataFolder, disk, node, ports, secrets, store } from "./host.ts";
import { agent, certificate, etcd } from "./roles.ts";
import { clock, readiness, server, token, version } from "./server.ts";

export const DOCTOR_CHECKS: readonly DoctorCheck[] = [
  node,
  server,
  readiness,
  version,
  clock,
  token,
  ports,
  disk,
  dataFolder,
  store,
  secrets,
  agent,
  certificate,
  authority,
  etcd,
];
