/** No client and no handler can hold up the stop of a server, and a request under way is answered. */
import { once } from "node:events";
import { connect, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { CLOSE_MS_MAX, closeHttpServer, createHttpServer } from "#http";
import { eventually, ManualClock, testHost } from "#test/kit";

test.each([
  ["half a body", "POST /quick HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{"],
  ["a request that is never answered", "GET /never HTTP/1.1\r\nhost: x\r\n\r\n"],
])("%s is cut after its time", async (_what, sent) => {
  const clock = new ManualClock();
  const host = testHost({ clock });
  const app = createHttpServer(host, { name: "test" });
  let begun = 0;
  app.addHook("onRequest", async () => void begun++);
  app.post("/quick", () => "well");
  app.get("/never", () => new Promise(() => {}));
  await app.listen({ port: 0, host: "127.0.0.1" });
  const client = connect((app.server.address() as AddressInfo).port, "127.0.0.1");
  client.on("error", () => {});
  await once(client, "connect");
  const ended = new Promise((resolve) => client.once("close", resolve));
  client.write(sent);
  await eventually("the request began", () => begun === 1);
  let closed = false;
  const closing = closeHttpServer(host, app).then(() => (closed = true));
  await clock.advance(CLOSE_MS_MAX - 1);
  expect(closed).toBe(false);
  await clock.advance(1);
  await closing;
  await ended;
  expect(host.log.lines).toMatchObject([{ level: "warn", fields: { ms: CLOSE_MS_MAX } }]);
});

test("a request under way is answered before the server is closed", async () => {
  const host = testHost({ clock: new ManualClock() });
  const app = createHttpServer(host, { name: "test" });
  const answered = Promise.withResolvers<string>();
  let asked = 0;
  app.get("/slow", () => {
    asked++;
    return answered.promise;
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  const answer = fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/slow`);
  await eventually("it was asked", () => asked === 1);
  const closing = closeHttpServer(host, app);
  answered.resolve("well");
  expect(await (await answer).text()).toBe("well");
  await closing;
});
