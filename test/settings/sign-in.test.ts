/** Settings of the sign-in by OpenID Connect: mistakes end the start, with the name of the setting. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadSettings, type Settings } from "#settings";
import { guideBlocks, projectRoot, tempFolder } from "#test/kit";
import { oidcSettings, publicUrlOf } from "../../server/roles/sign-in.ts";

const ISSUER = "https://login.example";
const settings = (flags: Record<string, string>): Settings => loadSettings({ environment: {}, flags }).values;
const complete = { oidcIssuer: ISSUER, oidcClientId: "posthouse" };
const problem = (flags: Record<string, string>) =>
  oidcSettings(settings(flags)).then(
    () => "none",
    (error: Error) => error.message,
  );

test("without an issuer, people do not sign in by OpenID Connect; with one, the defaults are those of most providers", async () => {
  expect(await oidcSettings(settings({}))).toBeUndefined();
  expect(await oidcSettings(settings(complete))).toMatchObject({
    issuer: ISSUER,
    scopes: ["openid", "profile", "email", "groups"],
    claims: { groups: "groups" },
    sessionSeconds: 43_200,
  });
});

test("the client secret comes from a setting or from a file, without the line break", async () => {
  await using folder = await tempFolder();
  const file = join(folder.path, "secret");
  await writeFile(file, "from the file\n");
  const secret = async (flags: Record<string, string>) =>
    (await oidcSettings(settings({ ...complete, ...flags })))?.clientSecret;
  expect(await secret({})).toBeUndefined();
  expect(await secret({ oidcClientSecret: "from the setting" })).toBe("from the setting");
  expect(await secret({ oidcClientSecretFile: file })).toBe("from the file");
  expect(await problem({ ...complete, oidcClientSecret: "a", oidcClientSecretFile: file })).toMatch(
    /not from both: --oidc-client-secret/,
  );
  await writeFile(file, "\n");
  expect(await problem({ ...complete, oidcClientSecretFile: file })).toMatch(/is empty: --oidc-client-secret-file/);
  expect(await problem({ ...complete, oidcCaFile: join(folder.path, "none") })).toMatch(
    /cannot be read.*--oidc-ca-file/s,
  );
});

test("half a pair, an issuer without TLS elsewhere, and scopes without openid are refused", async () => {
  expect(await problem({ oidcIssuer: ISSUER })).toMatch(/needs both.*--oidc-client-id/);
  expect(await problem({ oidcClientId: "a" })).toMatch(/needs both.*--oidc-issuer/);
  expect(await problem({ ...complete, oidcIssuer: "http://login.example" })).toMatch(/has no TLS.*--oidc-issuer/);
  expect(await problem({ ...complete, oidcIssuer: "http://127.0.0.1:4000" })).toBe("none");
  expect(await problem({ ...complete, oidcScopes: "email" })).toMatch(/scope openid is missing.*--oidc-scopes/);
});

test("where the control API listens everywhere, the address of the console must be set", async () => {
  const everywhere = { ...complete, host: "0.0.0.0" };
  expect(await problem(everywhere)).toMatch(/0\.0\.0\.0 is not an address that browsers can open: --public-url/);
  expect(await problem({ ...everywhere, publicUrl: "https://console.example" })).toBe("none");
  const at = (flags: Record<string, string>, controlApi?: string) =>
    publicUrlOf({ settings: settings(flags), addresses: controlApi === undefined ? {} : { controlApi } });
  expect(at({ host: "0.0.0.0" }, "http://0.0.0.0:8500")).toBeUndefined();
  expect(at({}, "http://127.0.0.1:8500")).toBe("http://127.0.0.1:8500");
  expect(at({ publicUrl: "https://console.example" }, "http://127.0.0.1:8500")).toBe("https://console.example");
});

test("the settings of access.md are complete, and only the file of the secret is missing here", async () => {
  const guide = await readFile(join(projectRoot, "docs/guides/access.md"), "utf8");
  const block = guideBlocks(guide).find(({ marker }) => marker === "settings");
  const { values } = loadSettings({ environment: {}, flags: {}, file: { path: "access.md", text: block?.text ?? "" } });
  await expect(oidcSettings(values)).rejects.toThrow(/oidc-client-secret cannot be read: ENOENT/);
  const { oidcClientSecretFile: _missing, ...others } = values;
  expect(await oidcSettings(others)).toMatchObject({ clientId: "posthouse" });
});
