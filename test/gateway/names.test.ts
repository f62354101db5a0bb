/** Endpoints behind a DNS name: asked of a real server, followed as they change, kept while it is silent. */
import { createSocket } from "node:dgram";
import * as dnsPacket from "dns-packet";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { systemResolver } from "../../gateway/sources/names.ts";
import { instance, runGateway, upstream } from "./kit.ts";

/** A DNS server for one name, whose answers are the test's. */
async function nameServer(answers: { a: string[]; silent: boolean }) {
  const socket = createSocket("udp4");
  socket.on("message", (bytes, { port, address }) => {
    const { id = 0, questions = [] } = dnsPacket.decode(bytes);
    if (answers.silent) return;
    const name = questions[0]?.name ?? "";
    const records = questions[0]?.type === "A" ? answers.a : [];
    const packet = dnsPacket.encode({
      type: "response",
      id,
      flags: dnsPacket.RECURSION_AVAILABLE,
      questions,
      answers: records.map((data) => ({ type: "A", name, ttl: 1, data })),
    });
    socket.send(packet, port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return { port: socket.address().port, [Symbol.asyncDispose]: async () => void socket.close() };
}

test("every address of a name is an endpoint, by its TTL; the service sees the name, and a silent server changes nothing", async () => {
  await using one = await upstream();
  const answers = { a: ["127.0.0.1"], silent: false };
  await using dns = await nameServer(answers);
  const config = {
    clusters: [{ name: "c", endpoints: [{ address: "svc.test", port: one.port }] }],
    routes: [{ name: "r", match: { path: { prefix: "/" } }, cluster: "c" }],
  };
  await using gateway = await runGateway(config, [instance(1)], {
    resolveName: systemResolver([`127.0.0.1:${dns.port}`]),
  });
  const addresses = () =>
    gateway.gateway
      .clusterViews()
      .get("cluster:c")
      ?.endpoints.map(({ id }) => id);
  await eventually("resolved", () => addresses()?.join() === `127.0.0.1:${one.port}`);
  expect((await fetch(gateway.url)).status).toBe(200);
  expect(one.requests[0]?.headers.host).toBe(`svc.test:${one.port}`);
  answers.a = ["127.0.0.1", "127.0.0.2"];
  await eventually("both are endpoints", () => addresses()?.length === 2);
  answers.silent = true;
  await eventually("it is said", () =>
    gateway.host.log.lines.some(({ message }) => message.includes("cannot be resolved")),
  );
  expect(addresses()).toHaveLength(2);
  expect((await fetch(gateway.url)).status).toBe(200);
}, 300_000);

test("an address that no service has is not an endpoint, whatever DNS answers", async () => {
  await using dns = await nameServer({ a: ["169.254.169.254"], silent: false });
  const config = {
    clusters: [{ name: "c", endpoints: [{ address: "metadata.test", port: 80 }] }],
    routes: [{ name: "r", match: { path: { prefix: "/" } }, cluster: "c" }],
  };
  await using gateway = await runGateway(config, [], { resolveName: systemResolver([`127.0.0.1:${dns.port}`]) });
  await eventually("none is left", () => gateway.gateway.clusterViews().get("cluster:c")?.endpoints.length === 0);
  const answer = await fetch(gateway.url);
  expect([answer.status, answer.headers.get("x-posthouse-flag")]).toEqual([503, "UH"]);
});
