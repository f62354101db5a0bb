/** The DNS role. */
import { bracketedHost, TaskGroup } from "#base";
import { spellings } from "#settings";
import { ServerErrors } from "../api.ts";
import { listenError } from "../listen-error.ts";
import { clientFor, type Parts } from "./parts.ts";

/** Default queries per second of a client beyond this machine: far more than a host with a cache sends. */
const DNS_QUERIES_PER_SECOND = 1_000;

/** From the registry when it is in this process, else from a watch of one namespace. */
export async function startDnsServer(parts: Parts): Promise<void> {
  const { parseUpstream, registryCatalog, startDns, WatchedCatalog } = await import("#dns");
  const { host, settings, stack, control } = parts;
  const forwarders = settings.dnsForwarders.map((text) => {
    const upstream = parseUpstream(text);
    if (!upstream) {
      throw ServerErrors.SETTINGS_CONFLICT(
        `"${text}" is not an IP address with or without a port, such as 10.0.0.2 or [fd00::2]:5353: ${spellings("dnsForwarders")}.`,
      );
    }
    if (upstream.address === settings.dnsHost && upstream.port === settings.dnsPort) {
      throw ServerErrors.SETTINGS_CONFLICT(
        `DNS would forward to itself (${text}). Name another server: ${spellings("dnsForwarders")}.`,
      );
    }
    return upstream;
  });
  let catalog;
  if (control) catalog = registryCatalog(control.registry);
  else {
    const watched = new WatchedCatalog(host, clientFor(parts, "DNS reader", ["viewer"]), settings.dnsNamespace);
    stack.use(new TaskGroup(host.log)).run("DNS catalog", (signal) => watched.run(signal));
    catalog = watched;
  }
  try {
    const { port } = stack.use(
      await startDns(host, catalog, {
        host: settings.dnsHost,
        port: settings.dnsPort,
        zone: {
          labels: settings.dnsZone.replace(/\.$/, "").split("."),
          namespace: settings.dnsNamespace,
          near: settings.dnsNear,
          ttlSeconds: settings.dnsTtlSeconds,
        },
        forwarders,
        limit: {
          perSecond: settings.dnsQueriesPerSecond ?? DNS_QUERIES_PER_SECOND,
          loopback: settings.dnsQueriesPerSecond !== undefined,
        },
      }),
    );
    parts.listeners.add({ host: settings.dnsHost, port });
    parts.addresses.dns = `${bracketedHost(settings.dnsHost)}:${port}`;
  } catch (error) {
    throw listenError(error, `${settings.dnsHost}:${settings.dnsPort}`, spellings("dnsPort"));
  }
}
