/**
 * Rejects what web pages send to a server that has plain HTTP on loopback. A page can resolve its own name to 127.0.0.1 and then counts as
 * the same origin for a browser (DNS rebinding), but its requests still carry that name in the Host header.
 */
import type { FastifyInstance } from "fastify";
import { isLoopback } from "./loopback.ts";
import { HttpErrors } from "./problem.ts";

/** The name in a Host header: without its port. */
function hostNameOf(header: string): string {
  return header.startsWith("[") ? header.slice(0, header.indexOf("]") + 1) : (header.split(":", 1)[0] ?? "");
}

/** Whether a Host header names this host: loopback, or one of the names given, which are asked for only then. */
export function isOwnHost(header: string, names: () => readonly string[] = () => []): boolean {
  const name = hostNameOf(header).toLowerCase();
  return isLoopback(name) || names().some((one) => one.toLowerCase() === name);
}

/** Rejects requests to any other host on plain connections within this machine, on every path. `names`: beside loopback. */
export function guardHost(app: FastifyInstance, names: () => readonly string[]): void {
  app.addHook("onRequest", (request, _reply, done) => {
    const { host = "" } = request.headers;
    const { localAddress } = request.socket;
    const isPlainAndLocal = request.protocol === "http" && (localAddress === undefined || isLoopback(localAddress));
    if (!isPlainAndLocal || isOwnHost(host, names)) return done();
    done(
      HttpErrors.HOST_REFUSED(
        `This API serves only its own host, and "${host.slice(0, 100)}" is not a name of it. Use http://127.0.0.1, or add the name to the setting tlsNames.`,
      ),
    );
  });
}
