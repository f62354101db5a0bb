/** A plain proxy from the library that the general lane is built on, with its defaults. */
import proxy from "@fastify/http-proxy";
import Fastify from "fastify";

const [, , port = "0", upstream = ""] = process.argv;
const app = Fastify();
await app.register(proxy, { upstream });
await app.listen({ port: Number(port), host: "127.0.0.1" });
process.stdout.write("listening\n");
