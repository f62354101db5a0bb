/** A service on plain node:http: registered while it serves, and drained before it ends. */
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "posthouse/client";

const posthouse = connect({ app: "hello" });

const server = createServer((request, response) => {
  if (request.url !== "/self") {
    response.end(`hello from ${process.pid}\n`);
    return;
  }
  posthouse
    .fetch("http://hello.service/")
    .then((answer) => answer.text())
    .then((text) => response.end(`by name: ${text}`))
    .catch((error: Error) => response.writeHead(502).end(`${error.message}\n`));
});

server.listen(Number(process.env["PORT"] ?? 0));
await once(server, "listening");
const { name } = await posthouse.register({
  server,
  checks: [{ type: "ttl" }],
  stopOn: ["SIGTERM", "SIGINT"],
  onStopped: () => posthouse.close(),
});
console.log(`${name.id} is registered`);
