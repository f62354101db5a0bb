/** A path that a common service reads as another one is refused or matched as that one, unless its route says otherwise. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { readTarget } from "../../gateway/core/paths/path.ts";
import { eventually, recordingLog, testHost } from "#test/kit";
import { instance, runGateway, sendRaw, upstream } from "./kit.ts";

const guarded = { name: "secure", match: { path: { prefix: "/secure" } }, respond: { status: 401, body: "guarded" } };
const open = (paths?: object) => ({
  name: "open",
  match: { path: { prefix: "/" } },
  service: "orders",
  ...(paths ? { paths } : {}),
});

async function world(...routes: object[]) {
  const service = await upstream();
  const log = recordingLog();
  const running = await runGateway({ routes }, [instance(service.port)], {}, { ...testHost(), log });
  const get = async (path: string) => {
    const answer = await sendRaw(
      running.ports.httpPort,
      `GET ${path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n`,
    );
    return { status: answer.status, body: answer.body, seen: service.requests.at(-1)?.url };
  };
  return {
    get,
    service,
    lines: () => log.lines,
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await service[Symbol.asyncDispose]();
    },
  };
}

/** Spellings that services known for it read as `/secure` or something in it. */
const SPELLINGS = [
  "/secure;x",
  "/secure;",
  "/secure;a=b;c",
  "/secure%3Bx",
  "/secure%3bx",
  "/secure;x/data",
  "/secure;/data",
  "/secure%3Bx/data",
  "/;x/secure",
  "/a;x/../secure",
  "/;/secure",
  "/secure;x/",
  "/.;/secure",
  "/a/..;/secure",
  "/a/..;x=1/secure",
  "/a/%2e%2e;x/secure",
  "/a/..%3B/secure",
  "/%2e;x/secure",
  "/%2Fsecure",
  "/%2fsecure/data",
  "/secure%2Fdata",
  "/a%2F..%2Fsecure",
  "/a/..%2fsecure",
  "/%5csecure",
  "/\\secure",
  "//secure",
  "/./secure",
  "/a/../secure",
  "/%73ecure",
  "/secure%00",
  "/%252Fsecure",
  "/%c0%afsecure",
  "/%e0%80%afsecure",
  "/secure%2F",
  "/.%2Fsecure",
  "/secure%2f;x",
  "/;x%2Fsecure",
];

test("no spelling of a guarded path comes to the service without its guard", async () => {
  await using running = await world(open(), guarded);
  for (const path of SPELLINGS) {
    const { status } = await running.get(path);
    expect([path, [400, 401].includes(status)]).toEqual([path, true]);
  }
  expect(running.service.requests).toEqual([]);
  expect((await running.get("/list;page=2?a;b")).seen).toBe("/list;page=2?a;b");
  expect(await running.get("/a%2Fb")).toMatchObject({
    status: 400,
    body: expect.stringContaining("paths.encodedSlash"),
  });
  expect(await running.get("/a;x/b")).toMatchObject({ status: 400, body: expect.stringContaining("paths.parameters") });
});

test("a route that keeps them gets encoded slashes and parameters as they came, matched as one string", async () => {
  const projects = {
    ...open({ encodedSlash: "keep", parameters: "keep" }),
    name: "projects",
    match: { path: { template: "/projects/{id}/{rest=**}" } },
    requestHeaders: { set: { "x-id": "{path.id}" } },
  };
  await using running = await world(projects, open({ encodedSlash: "keep", parameters: "keep" }), guarded);
  const ok = await running.get("/projects/group%2fname/issues;v=1/7;z");
  expect([ok.status, ok.seen]).toEqual([200, "/projects/group%2Fname/issues;v=1/7;z"]);
  expect(running.service.requests.at(-1)?.headers["x-id"]).toBe("group%2Fname");
  const before = running.service.requests.length;
  for (const path of SPELLINGS)
    expect([path, [400, 401].includes((await running.get(path)).status)]).toEqual([path, true]);
  expect(running.service.requests.length).toBe(before);
});

test("a route that reports them lets them pass and says so", async () => {
  await using running = await world(open({ encodedSlash: "report", parameters: "report" }));
  expect((await running.get("/a%2Fb;x/c")).seen).toBe("/a%2Fb;x/c");
  const reports = () => running.lines().filter(({ level }) => level === "warn");
  await eventually("the line", () => JSON.stringify(reports()).includes('"pathReports":["encodedSlash","parameters"]'));
});

test("the matched path has no parameters, and is otherwise identical to the path that is sent", () => {
  const pieces = fc.constantFrom("/", ";", "a", ".", "..", "%2F", "%3b", "%2e", "=", "%3B", "x");
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const read = readTarget(`/${parts.join("")}`);
      if (!read.ok) return;
      expect(read.path).not.toMatch(/;|%3B/i);
      const strip = (path: string) => path.replaceAll(/(?:;|%3B)(?:(?!%2F)[^/])*/gi, "");
      expect(strip(read.written)).toBe(read.path);
      const decoded = read.path.replaceAll("%2F", "/").split("/").slice(1);
      for (const [at, segment] of decoded.entries()) {
        expect([".", ".."]).not.toContain(segment);
        if (at < decoded.length - 1) expect(segment).not.toBe("");
      }
      expect(readTarget(read.written)).toEqual(read);
    }),
    { numRuns: 3_000 },
  );
});
