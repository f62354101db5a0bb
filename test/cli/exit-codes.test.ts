/** Exit codes and errors: each names a code, a cause and the next command. */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { errorRows } from "#base";
import { hintOf } from "../../cli/hints.ts";
import { exitOf } from "../../cli/exit-codes.ts";
import { type ListeningControl, run, withListeningControl } from "./kit.ts";

let control: ListeningControl;
beforeAll(async () => {
  control = await withListeningControl();
  await control.posthouse("config put orders app.yaml", { input: "a: 1\n" });
});
afterAll(() => control?.[Symbol.asyncDispose]());

test.each([
  ["members", 0, ""],
  ["config diff orders --from live --exit-code", 0, ""],
  ["servces", 2, "Did you mean services"],
  ["config get A/b", 2, "CLI_ARGUMENT_INVALID"],
  ["services show nothing", 3, "REGISTRY_SERVICE_NOT_FOUND"],
  ["config get orders nothing", 3, "CONFIG_KEY_NOT_FOUND"],
  ["tokens inspect 0000", 3, "CLI_NOT_FOUND"],
  ["members --token ph_wrong", 4, "HTTP_TOKEN_INVALID"],
  ["config put orders app.yaml --cas 7", 5, "CLI_CONFLICT"],
  ["services register a b 127.0.0.1:1 --cas 7", 5, "REGISTRY_"],
  ["members --control-urls http://127.0.0.1:1", 6, "CLIENT_UNREACHABLE"],
  ["health --wait 0", 6, "CLI_TIMEOUT"],
])("posthouse %s exits with %i", async (line, code, words) => {
  const { code: exit, err } = await control.posthouse(line, { input: "a: 2\n" });
  expect([exit, err]).toEqual([code, expect.stringContaining(words)]);
  if (code > 2) expect(err).toMatch(/^posthouse: [A-Z_]+: .+\n {2}next: .+\n$/);
});

test("every error has a next command that is more than the general help", () => {
  expect(errorRows().size).toBeGreaterThan(60);
  const isOfCommands = (code: string) => /^(CLIENT|CONFIG|REGISTRY|LOCKS|ACCESS|HTTP|SETTINGS|GATEWAY)_/.test(code);
  const general = [...errorRows().keys()].filter((code) => isOfCommands(code) && hintOf(code) === "posthouse help");
  expect(general).toEqual([]);
});

test("the code of an error that is not known is 1", () => {
  expect(exitOf(new Error("x"))).toBe(1);
});

test("a server that accepts and says nothing counts as unreachable in time", { timeout: 60_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const silent = createServer((socket) => void socket.resume());
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  stack.defer(() => new Promise<void>((resolve) => void silent.close(() => resolve())));
  const { port } = silent.address() as AddressInfo;
  const environment = { POSTHOUSE_CONTROL_URLS: `http://127.0.0.1:${port}`, POSTHOUSE_TOKEN: "ph_x" };
  expect(await run(["members"], { environment })).toMatchObject({
    code: 6,
    err: expect.stringContaining("CLI_TIMEOUT") as string,
  });
});
