/** A Fastify service with the plugin. */
import fastify from "fastify";
import { posthouse } from "posthouse/fastify";

const app = fastify({ return503OnClosing: false });
await app.register(posthouse, { service: "prices", health: () => {} });

app.get("/", async () => ({ price: 42, self: (await app.posthouse.fetch("http://prices.service/healthz")).status }));

await app.listen({ port: Number(process.env["PORT"] ?? 0) });
console.log("prices listens");
