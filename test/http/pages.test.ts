/** Requests that are almost right: a known path with another method, a body without its type, an error's address. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { errorRows } from "#base";
import { type TestControl, withControl } from "#test/kit";

let control: TestControl;
beforeAll(async () => {
  control = await withControl();
});
afterAll(() => control?.[Symbol.asyncDispose]());

const send = (method: string, url: string, headers: Record<string, string> = {}, payload?: string) =>
  control.app.inject({
    method: method as "GET",
    url,
    headers: { authorization: `Bearer ${control.token}`, ...headers },
    ...(payload === undefined ? {} : { payload }),
  });

test.each([
  ["DELETE", "/v1/services", "GET, HEAD"],
  ["POST", "/v1/services/orders/instances/1", "DELETE, GET, HEAD, PUT"],
  ["PATCH", "/v1/config/default/orders/default/keys/app.yaml", "DELETE, GET, HEAD, PUT"],
  ["GET", "/v1/sessions", "POST"],
  ["PUT", "/v1/tokens?x=1", "GET, HEAD, POST"],
  ["GET", "/v1/batches", "POST"],
])("%s %s is 405, and Allow says %s", async (method, url, allow) => {
  const answer = await send(method, url);
  expect(answer.statusCode).toBe(405);
  expect(answer.headers["allow"]).toBe(allow);
  expect(answer.json()).toMatchObject({ code: "HTTP_METHOD_NOT_ALLOWED", detail: expect.stringContaining(allow) });
});

test("an unknown path is 404 and says where to begin", async () => {
  const answer = await send("GET", "/v1/nothing");
  expect(answer.json()).toMatchObject({
    status: 404,
    code: "HTTP_NOT_FOUND",
    detail: expect.stringContaining("GET /"),
  });
  expect(answer.headers["allow"]).toBeUndefined();
});

test("GET / leads to the API document and the errors, for programs and for browsers", async () => {
  const json = await control.app.inject("/");
  expect(json.json()).toMatchObject({ links: { document: "/v1/openapi.json", errors: "/docs/errors" } });
  for (const path of Object.values(json.json<{ links: Record<string, string> }>().links)) {
    expect((await control.app.inject(path)).statusCode, path).toBe(200);
  }
  const html = await control.app.inject({ url: "/", headers: { accept: "text/html,*/*" } });
  expect(html.headers["content-type"]).toContain("text/html");
  expect(html.body).toContain('href="/v1/openapi.json"');
});

const browser = { accept: "text/html,*/*" };

test("the type of a problem is a place in a page of the server that answered, whatever the path was", async () => {
  for (const url of ["/v1/services/none", "/v1/nothing/at/all", "/v1/config/a/b/c/releases/9"]) {
    const { type = "", code, title } = (await send("GET", url)).json<Record<string, string>>();
    const { pathname, hash } = new URL(type, `http://posthouse${url}`);
    expect([pathname, hash]).toEqual(["/docs/errors", `#${code}`]);
    const page = await control.app.inject({ url: pathname, headers: browser });
    expect(page.body).toContain(`id="${code}"`);
    const { errors } = (await control.app.inject(pathname)).json<{ errors: { code: string }[] }>();
    expect(errors.find((row) => row.code === code)).toMatchObject({ title, advice: expect.any(String) });
  }
});

test("every code has a place in the page, and only one", async () => {
  const codes = [...errorRows().keys()];
  const list = (await control.app.inject("/docs/errors")).json<{ errors: { code: string }[] }>();
  expect(list.errors.map(({ code }) => code)).toEqual(codes);
  const page = await control.app.inject({ url: "/docs/errors", headers: browser });
  expect([...page.body.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)).toEqual(codes);
});

test("the addresses of earlier versions work: the list, and a page per code", async () => {
  const list = await control.app.inject("/docs/errors");
  expect((await control.app.inject("/errors")).json()).toEqual(list.json());
  for (const code of errorRows().keys()) {
    expect((await control.app.inject(`/errors/${code}`)).json()).toMatchObject({ code, advice: expect.any(String) });
    const { statusCode, headers } = await control.app.inject({
      url: `/errors/${code.toLowerCase()}`,
      headers: browser,
    });
    expect([statusCode, headers["location"]]).toEqual([302, `/docs/errors#${code}`]);
  }
  expect((await control.app.inject("/errors/NO_SUCH")).json()).toMatchObject({ status: 404 });
  const script = await control.app.inject({ url: "/errors/<b>", headers: { accept: "text/html" } });
  expect(script.headers["content-type"]).toContain("application/problem+json");
});

interface Body {
  readonly url: string;
  readonly method: string;
  readonly types: readonly string[];
}

test("every path with a body says which content type to send", async () => {
  const document = (await control.app.inject("/v1/openapi.json")).json<{
    paths: Record<string, Record<string, { requestBody?: { content: object } }>>;
  }>();
  const bodies = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { requestBody }]): Body[] =>
      requestBody ? [{ url: path.replaceAll(/\{\w+\}/g, "a"), method, types: Object.keys(requestBody.content) }] : [],
    ),
  );
  expect(bodies.length).toBeGreaterThan(20);
  for (const { url, method, types } of bodies) {
    const [wanted = ""] = types;
    // OFREP has a form of its own for errors.
    const isOfrep = url.includes("/ofrep/");
    if (wanted === "*/*") continue;
    for (const sent of ["application/x-www-form-urlencoded", "text/plain", "nonsense", undefined]) {
      const answer = await send(method.toUpperCase(), url, sent === undefined ? {} : { "content-type": sent }, "a=1");
      const where = `${method} ${url} ${sent}`;
      expect([answer.statusCode, where]).toEqual([415, where]);
      expect(answer.headers["accept"], where).toBe(types.join(", "));
      const { detail = "", errorDetails = detail } = answer.json<{ detail?: string; errorDetails?: string }>();
      expect(isOfrep ? errorDetails : detail, where).toContain(`content-type: ${wanted}`);
      if (sent !== undefined) expect(errorDetails).toContain(sent);
    }
  }
});
