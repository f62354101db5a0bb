/** Checks all ports before anything starts, so that one error names every port in use. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { flagOf, type SettingName, type Settings, spellings } from "#settings";
import { ServerErrors } from "./api.ts";

interface Port {
  readonly setting: SettingName;
  readonly host: string;
  readonly port: number;
  readonly isUdp?: boolean;
}

/** The addresses that a process with these settings listens on. Port 0 chooses a free port, so it is never in use. */
export function portsOf(settings: Settings): Port[] {
  const has = (role: Settings["roles"][number]) => settings.roles.includes(role);
  const { host, gatewayHost, agentHost, dnsHost } = settings;
  const hasControl = has("registry") || has("config-server");
  const ports: (Port | false)[] = [
    hasControl && { setting: "port", host, port: settings.port },
    has("agent") && { setting: "agentPort", host: agentHost, port: settings.agentPort },
    has("gateway") && !hasControl && { setting: "operationsPort", host, port: settings.operationsPort },
    has("gateway") && { setting: "gatewayPort", host: gatewayHost, port: settings.gatewayPort },
    has("gateway") && { setting: "gatewayTlsPort", host: gatewayHost, port: settings.gatewayTlsPort },
    ...(settings.dns === "on" && (hasControl || has("agent"))
      ? [
          { setting: "dnsPort" as const, host: dnsHost, port: settings.dnsPort },
          { setting: "dnsPort" as const, host: dnsHost, port: settings.dnsPort, isUdp: true },
        ]
      : []),
  ];
  return ports.filter((one) => one !== false && one.port !== 0) as Port[];
}

/** @throws SERVER_PORT_IN_USE with all ports in use. Other failures are left to the part that listens. */
export async function requireFreePorts(settings: Settings): Promise<void> {
  const ports = portsOf(settings);
  const taken = await Promise.all(ports.map(async (one) => ((await isTaken(one)) ? one : undefined)));
  const bySetting = new Map(taken.flatMap((one) => (one ? [[one.setting, one] as const] : [])));
  if (bySetting.size === 0) return;
  const [first] = bySetting.values();
  const places = [...bySetting.values()].map(({ host, port, setting }) => `${host}:${port} (${flagOf(setting)})`);
  const way =
    bySetting.size === 1 && first
      ? `choose another port with ${spellings(first.setting)}, or move all ports with ${flagOf("portBase")} 9500`
      : `choose other ports with these flags, or move all ports with ${flagOf("portBase")} 9500 (${spellings("portBase")})`;
  throw ServerErrors.PORT_IN_USE(
    `${places.join(", ")} ${places.length === 1 ? "is" : "are"} in use by another program. Stop that program, or ${way}.`,
    { extra: { fields: [...bySetting.keys()].map((setting) => `/${setting}`) } },
  );
}

function isTaken({ host, port, isUdp }: Port): Promise<boolean> {
  return new Promise((resolve) => {
    const onError = ({ code }: NodeJS.ErrnoException) => resolve(code === "EADDRINUSE");
    if (isUdp) {
      const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
      socket.on("error", (error) => {
        socket.close();
        onError(error);
      });
      socket.bind({ port, address: host, exclusive: true }, () => socket.close(() => resolve(false)));
    } else {
      const server = createServer();
      server.on("error", onError);
      server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(false)));
    }
  });
}
