/** An Express service with the middleware. */
import express from "express";
import { posthouse } from "posthouse/express";

const app = express();
const service = posthouse({ service: "carts" });
app.use(service);

app.get("/", async (_request, response) => {
  const answer = await service.client.fetch("http://carts.service/healthz");
  response.json({ items: 3, self: answer.status });
});

await service.listen(app, Number(process.env["PORT"] ?? 0));
console.log("carts listens");
