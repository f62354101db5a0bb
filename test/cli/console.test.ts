/** `posthouse console`: a link for the caller, and a browser that may be missing. */
import { chmod, writeFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, tempFolder } from "#test/kit";
import { type ListeningControl, withListeningControl } from "./kit.ts";

let control: ListeningControl;
beforeAll(async () => {
  control = await withListeningControl();
});
afterAll(() => control?.[Symbol.asyncDispose]());

const LINK = /^(http:\/\/127\.0\.0\.1:\d+)\/ui\/#\/signin\?code=([0-9a-f]{16}_[0-9a-f]{32})\n$/;

test("it prints a link that signs in as the caller", async () => {
  const token = (await control.posthouse("tokens create ann --policy viewer")).out.trim();
  await eventually("it is known", async () => {
    const headers = { authorization: `Bearer ${token}` };
    return (await control.call("GET", "/v1/me", undefined, headers)).status === 200;
  });
  const { code, out, err } = await control.posthouse("console", { environment: { POSTHOUSE_TOKEN: token } });
  expect([code, err]).toEqual([0, expect.stringMatching(/^one use, until \S+Z\n$/)]);
  const [, , signInCode] = LINK.exec(out) ?? [];
  const answer = await control.call("POST", "/ui/api/session", { code: signInCode }, {});
  expect([answer.status, answer.json]).toMatchObject([201, { name: "ann", policies: ["viewer"] }]);
});

test("--open starts the browser with the link, and says so when it cannot", async () => {
  await using folder = await tempFolder();
  const environment = { PATH: folder.path };
  const missing = await control.posthouse("console --open", { environment });
  expect(missing).toMatchObject({
    code: 0,
    out: expect.stringMatching(LINK),
    err: expect.stringContaining("xdg-open"),
  });
  const opener = join(folder.path, "xdg-open");
  const opened = join(folder.path, "opened");
  await writeFile(opener, `#!/bin/sh\nprintf '%s\\n' "$1" > ${opened}\n`);
  await chmod(opener, 0o755);
  const { out, err } = await control.posthouse("console --open", { environment });
  expect(err).not.toContain("xdg-open");
  expect(await readFile(opened, "utf8")).toBe(out);
  await writeFile(opener, "#!/bin/sh\nexit 3\n");
  expect((await control.posthouse("console --open", { environment })).err).toContain("xdg-open failed");
});

test("without a token it says how to get one", async () => {
  const { code, err } = await control.posthouse("console", { environment: { POSTHOUSE_TOKEN: "" } });
  expect(code).not.toBe(0);
  expect(err).toContain("POSTHOUSE_TOKEN");
});
