/** Which service a URL names: `http://orders.service/`, or `http://orders.service.payments.ns/` in another namespace, as in DNS. */

/** A service as a URL names it. */
export interface ServiceAddress {
  readonly namespace: string;
  readonly service: string;
  /** Whether only instances with TLS may receive the request. `http:` leaves the choice to each instance's registration. */
  readonly secure: boolean;
}

const LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const HOST = new RegExp(`^(${LABEL})\\.service(?:\\.(${LABEL})\\.ns)?$`);
/** A quick test that no service's name fails, for URLs that are not parsed yet. */
const LIKELY = /\.service(?=[/:?#]|$)|\.ns(?=[/:?#]|$)/i;

/** Whether a text may be a service's URL, so that it is worth parsing. */
export function mayNameService(url: string): boolean {
  return LIKELY.test(url);
}

/** Whether a host is in the zone of services, even if no service can have this name. */
export function isServiceHost(hostname: string): boolean {
  return hostname.endsWith(".service") || /\.service\.[^.]+\.ns$/.test(hostname);
}

/** The service of a URL; undefined when the URL does not name one. */
export function serviceOf(url: URL, defaultNamespace: string): ServiceAddress | undefined {
  if (url.protocol !== "http:" && url.protocol !== "https:") return undefined;
  const match = HOST.exec(url.hostname);
  if (!match) return undefined;
  const [, service = "", namespace = defaultNamespace] = match;
  return { service, namespace, secure: url.protocol === "https:" };
}
