/** A service as a program of its own: it registers, answers with its process id after a moment, and drains at SIGTERM. */
import { createServer } from "node:http";
import { connect } from "../../client/package.ts";

/** Milliseconds that an answer takes, so that requests are under way when the signal arrives. */
const ANSWER_MS = 20;

const posthouse = connect({ app: "orders", onProblem: ({ code, message }) => console.error(code, message) });
const server = createServer((request, answer) => {
  request.resume();
  request.on("end", () => setTimeout(() => answer.end(String(process.pid)), ANSWER_MS));
});
server.listen(Number(process.env["PORT"] ?? 0), "127.0.0.1", () => {
  void posthouse
    .register({ server, ttlSeconds: 2, checks: [{ type: "ttl", ttlSeconds: 3 }], onStopped: () => posthouse.close() })
    .then(({ name }) => console.log(`registered ${name.id}`));
});
