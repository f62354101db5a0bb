/** The operations port of a process without the control API. */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { loadFilters } from "#gateway/config-text";
import { loadExplain } from "#gateway/explain";
import {
  BadTokens,
  builtInRights,
  closeHttpServer,
  createHttpServer,
  HttpErrors,
  isLoopback,
  registerOperations,
  registerPages,
  requireAuth,
} from "#http";
import { spellings } from "#settings";
import { listenError } from "../listen-error.ts";
import { clientFor, type Parts, listensAt, dialRules, reasons } from "./parts.ts";
import { clustersIn } from "./parts.ts";
import { VERSION } from "../version.ts";

/** Routes for operators of a gateway without a control API in its process. */
export async function startOperations(parts: Parts): Promise<void> {
  const { host, settings, stack, addresses } = parts;
  const tls = await parts.listenerCertificate.tlsAt(settings.host);
  const app = stack.adopt(createHttpServer(host, { name: "operations", tls }), (app) => closeHttpServer(host, app));
  const policies = ["viewer"];
  requireAuth(
    app,
    async (token) => {
      if (!sameSecret(token, settings.token)) throw HttpErrors.TOKEN_INVALID("Send the token of the setting `token`.");
      return {
        id: "internal:operations",
        name: "operations",
        kind: "internal",
        policies,
        rights: builtInRights(policies),
      };
    },
    { badTokens: new BadTokens(host, "operations") },
  );
  registerPages(app, { title: "posthouse operations", version: VERSION });
  registerOperations(app, host, { guardMetrics: !isLoopback(settings.host), notReady: () => reasons(parts) });
  if (settings.token !== undefined) {
    const { Explainer, explainPlugin } = await loadExplain();
    const filters = await loadFilters(settings.gatewayFilters);
    const client = clientFor(parts, "explain", ["viewer"]);
    const { gatewayFile } = settings;
    const config = gatewayFile === undefined ? {} : { config: () => readFile(gatewayFile, "utf8") };
    const live = (namespace: string) => clustersIn(parts, namespace);
    explainPlugin(app, new Explainer(host, { client, filters, dial: dialRules(parts), live, ...config }));
  }
  try {
    addresses.operations = await app.listen({ host: settings.host, port: settings.operationsPort });
    listensAt(parts, app);
  } catch (error) {
    throw listenError(error, `${settings.host}:${settings.operationsPort}`, spellings("operationsPort"));
  }
}

/** Compares in constant time. */
function sameSecret(a: string, b: string | undefined): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return b !== undefined && timingSafeEqual(digest(a), digest(b));
}
