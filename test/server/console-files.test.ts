/** The files of the console over a real socket: pages, hashed files, compressed variants, policies, and paths that try to lead out. */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { connect, type AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { hangSignal, tempFolder, type TempFolder, type TestControl, withControl } from "#test/kit";

const PAGE = `<!doctype html><meta name="csp-nonce" content=""><script type="module" src="/ui/assets/main-abc.js"></script>`;
const SCRIPT = "console.log(1);\n".repeat(100);
const TYPES: Record<string, string> = {
  "assets/main-abc.js": "text/javascript; charset=utf-8",
  "assets/main-abc.css": "text/css; charset=utf-8",
  "assets/font-abc.woff2": "font/woff2",
  "assets/main-abc.js.map": "application/json; charset=utf-8",
  "icon.svg": "image/svg+xml",
  "icon.png": "image/png",
  "favicon.ico": "image/x-icon",
  "data.json": "application/json; charset=utf-8",
  "other.html": "text/html; charset=utf-8",
};

let folder: TempFolder;
let control: TestControl;
let port: number;

beforeAll(async () => {
  folder = await tempFolder();
  const files = join(folder.path, "console");
  await mkdir(join(files, "assets"), { recursive: true });
  await writeFile(join(files, "index.html"), PAGE);
  for (const name of Object.keys(TYPES)) await writeFile(join(files, name), SCRIPT);
  await writeFile(join(files, "assets/main-abc.js.br"), "brotli");
  await writeFile(join(files, "assets/main-abc.js.gz"), "gzip");
  await writeFile(join(files, "secret.txt"), "secret");
  await writeFile(join(folder.path, "outside.js"), "secret");
  await symlink(join(folder.path, "outside.js"), join(files, "link.js"));
  await symlink(folder.path, join(files, "up"));
  control = await withControl({ consoleFolder: files });
  await control.app.listen({ host: "127.0.0.1", port: 0 });
  ({ port } = control.app.server.address() as AddressInfo);
});
afterAll(async () => {
  await control?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

const get = (path: string, headers: Record<string, string> = {}, method = "GET") =>
  fetch(`http://127.0.0.1:${port}${path}`, { method, headers, redirect: "manual", signal: hangSignal() });

/** The response to a path that is sent byte by byte, since fetch would clean it up first. */
async function raw(path: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

// "up" is a link to a folder outside. Its files are not the console's, so such a path is a name in a page.
test.each([
  "/ui/",
  "/ui/services",
  "/ui/config/default/orders",
  "/ui/config/default/orders/",
  "/ui/a%20b",
  "/ui/locks/nightly.backup",
  "/ui/up/outside.js",
])("%s is the page", async (path) => {
  const answer = await get(path);
  const text = await answer.text();
  expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
  expect(answer.headers.get("cache-control")).toBe("no-cache");
  const [, nonce = ""] = /<meta name="csp-nonce" content="([^"]+)">/.exec(text) ?? [];
  expect(Buffer.from(nonce, "base64")).toHaveLength(16);
  expect(answer.headers.get("content-security-policy")).toBe(
    `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' data:; font-src 'self'; ` +
      `connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  );
});

test("every response of the console has the headers that protect the page, and each nonce is used once", async () => {
  const nonces = new Set<string | null>();
  for (const path of ["/ui/", "/ui/", "/ui/icon.svg", "/ui/assets/main-abc.js", "/ui/missing.js"]) {
    const { headers } = await get(path);
    expect(headers.get("x-content-type-options"), path).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("cross-origin-opener-policy")).toBe("same-origin");
    expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
    expect(headers.get("permissions-policy")).toContain("camera=()");
    if (path !== "/ui/missing.js") nonces.add(headers.get("content-security-policy"));
  }
  expect(nonces.size).toBe(3);
  expect([...nonces].join("\n")).not.toMatch(/unsafe|\*/);
});

test.each(Object.entries(TYPES))("%s has its type", async (path, type) => {
  const answer = await get(`/ui/${path}`, { "accept-encoding": "identity" });
  expect([answer.status, answer.headers.get("content-type")]).toEqual([200, type]);
  expect(await answer.text()).toBe(SCRIPT);
  const cache = path.startsWith("assets/") ? "public, max-age=31536000, immutable" : "no-cache";
  expect(answer.headers.get("cache-control")).toBe(cache);
});

test.each([
  ["br, gzip", "br"],
  ["gzip, deflate, BR", "br"],
  ["gzip", "gzip"],
  ["br;q=0, gzip;q=0.5", "gzip"],
  ["br; q=0.000", null],
  ["identity", null],
])("with Accept-Encoding %s the answer is encoded with %s", async (accepted, encoding) => {
  const answer = await control.app.inject({
    url: "/ui/assets/main-abc.js",
    headers: { "accept-encoding": accepted },
  });
  expect(answer.headers["content-encoding"] ?? null).toBe(encoding);
  expect(answer.headers["vary"]).toBe("accept-encoding");
  expect(answer.body).toBe({ br: "brotli", gzip: "gzip" }[encoding ?? ""] ?? SCRIPT);
});

test("a browser that has a file or the page receives 304, and keeps the policy of its page", async () => {
  for (const path of ["/ui/services", "/ui/assets/main-abc.js"]) {
    const etag = (await get(path)).headers.get("etag") ?? "";
    const answer = await get(path, { "if-none-match": etag });
    expect([answer.status, answer.headers.get("etag")]).toEqual([304, etag]);
    if (path === "/ui/services") expect(answer.headers.get("content-security-policy")).toBeNull();
    expect((await get(path, { "if-none-match": '"other"' })).status).toBe(200);
  }
});

test("HEAD has the headers of GET and no body; other methods are refused", async () => {
  for (const path of ["/ui/", "/ui/assets/main-abc.js"]) {
    const answer = await get(path, { "accept-encoding": "identity" }, "HEAD");
    const { length } = await (await get(path, { "accept-encoding": "identity" })).text();
    expect([answer.status, answer.headers.get("content-length")]).toEqual([200, String(length)]);
    expect(await answer.text()).toBe("");
  }
  const post = await get("/ui/services", {}, "POST");
  expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
});

test.each([
  "/ui/../package.json",
  "/ui/%2e%2e/outside.js",
  "/ui/%2e%2e%2foutside.js",
  "/ui/..%2foutside",
  "/ui/%2e%2e/%2e%2e/etc/passwd",
  "/ui/%252e%252e%252foutside.js",
  "/ui/..%5coutside",
  String.raw`/ui/..\outside`,
  "/ui/a%00b",
  "/ui/assets/main-abc.js%00.html",
  "/ui/%2fetc/passwd",
  "/ui//etc/passwd",
  "/ui/./services",
  "/ui/link.js",
  "/ui/secret.txt",
  "/ui/assets",
  "/ui/assets/",
  "/ui/assets/none",
  "/ui/assets/main-abc.js.br",
  "/ui/api/none",
  "/ui/index.html",
  "/ui/services.html",
  "/ui/constructor.js",
])("%s is not found", async (path) => {
  const text = await raw(path);
  expect(text).toMatch(/^HTTP\/1\.1 (404|400) /);
  expect(text).toContain("application/problem+json");
  expect(text).not.toContain("\r\n\r\nsecret");
});

test("a browser at / reaches the console, a program the index", async () => {
  const page = await get("/", { accept: "text/html,*/*" });
  expect([page.status, page.headers.get("location"), page.headers.get("vary")]).toEqual([302, "/ui/", "accept"]);
  expect((await get("/", { accept: "*/*" })).headers.get("content-type")).toContain("application/json");
  expect((await get("/ui")).headers.get("location")).toBe("/ui/");
});

test("a console that is not built says how to build it, and is found once it is built", async () => {
  await using empty = await tempFolder();
  const files = join(empty.path, "console");
  await using other = await withControl({ consoleFolder: files });
  for (const url of ["/ui/", "/ui/services", "/ui/assets/main-abc.js"]) {
    const answer = await other.app.inject(url);
    expect([answer.statusCode, answer.headers["content-type"]]).toEqual([503, "text/plain; charset=utf-8"]);
    expect(answer.body).toContain("npm run build:console");
  }
  const index = await other.app.inject({ url: "/", headers: { accept: "text/html" } });
  expect(index.body).toContain('href="/v1/openapi.json"');
  await mkdir(files);
  await writeFile(join(files, "index.html"), PAGE);
  expect((await other.app.inject("/ui/")).statusCode).toBe(200);
});
