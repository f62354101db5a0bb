/** A small HTTP service: reports its identity, returns the trace in its response, and can become unhealthy on request. */
import { createServer } from "node:http";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { name: { type: "string" }, port: { type: "string" } } });
const name = values.name ?? "hello";
let well = true;

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? "/", "http://service");
  const answer = (status: number, body: object) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(`${JSON.stringify(body)}\n`);
  };
  if (pathname === "/health") return answer(well ? 200 : 503, { well });
  if (pathname === "/fall-ill" || pathname === "/recover") {
    well = pathname === "/recover";
    return answer(200, { well });
  }
  answer(200, {
    service: name,
    pid: process.pid,
    path: request.url,
    user: request.headers["x-user"],
    traceparent: request.headers["traceparent"],
  });
});
// Longer than a gateway keeps an idle connection, so that no connection is closed during a request.
server.keepAliveTimeout = 75_000;
server.listen(Number(values.port ?? "0"), "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`${name} on ${typeof address === "object" && address ? address.port : ""}\n`);
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
// If another process started it with a channel, it ends with that process, even when that one is killed.
process.on("disconnect", () => process.exit(0));
