/** `--demo` offers commands that work: through the gateway where the routes are its own, straight to the services elsewhere. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { eventually, type Posthouse, startPosthouse, tempFolder } from "#test/kit";

/** The commands that it offers once it has started; each is run and must answer below 400. */
async function offeredBy(posthouse: Posthouse) {
  const offer = await eventually("the demo offers", () => /^demo: three [^]*\n\n/m.exec(posthouse.output())?.[0]);
  const commands = offer.split("\n").flatMap((line) => /^ {2}(curl .*)$/.exec(line)?.[1] ?? []);
  expect(commands).toHaveLength(3);
  for (const [index, command] of commands.entries()) {
    const done = spawnSync("bash", ["-c", `${command} -sw '\\n%{http_code}'`], { encoding: "utf8" });
    const [body = "", status = ""] = done.stdout.split(/\n(?=\d+$)/);
    expect([command, body, Number(status) < 400]).toEqual([command, body, true]);
    expect(JSON.parse(body)).toMatchObject({ service: ["riders", "horses", "dispatches"][index] });
  }
  return { offer, commands };
}

test("--demo offers its routes, also after a restart, and its services where a user's gateway.yaml is live", async () => {
  await using data = await tempFolder();
  const options = { data: data.path, args: ["--demo"] };
  let token: string | undefined;
  {
    await using posthouse = await startPosthouse(options);
    token = posthouse.token;
    const { commands } = await offeredBy(posthouse);
    for (const command of commands) expect(command).toContain(posthouse.gateway);
    await posthouse.stop();
  }
  const mine = "routes: [{ name: orders, match: { path: { prefix: /orders } }, service: orders }]\n";
  const live = "/v1/config/default/gateway/default/keys/gateway.yaml";
  {
    await using posthouse = await startPosthouse(options);
    const { commands } = await offeredBy(posthouse);
    for (const command of commands) expect(command).toContain(posthouse.gateway);
    const answer = await fetch(`${posthouse.api}${live}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}` },
      body: mine,
    });
    expect(answer.status).toBeLessThan(300);
    await posthouse.stop();
  }
  await using posthouse = await startPosthouse(options);
  const { offer, commands } = await offeredBy(posthouse);
  for (const command of commands) expect(command).not.toContain(posthouse.gateway);
  expect(offer).toContain("The live gateway.yaml is not the demo's, so the demo does not change it.");
  const kept = await fetch(`${posthouse.api}${live}`, { headers: { authorization: `Bearer ${token}` } });
  expect(await kept.text()).toContain("name: orders");
}, 300_000);

test("--demo offers its services where no gateway runs, and they end with the process", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({
    data: data.path,
    args: ["--demo", "--store", "memory", "--roles", "registry,config-server,agent"],
  });
  const { offer, commands } = await offeredBy(posthouse);
  expect(offer).toContain("This process has no gateway.");
  // Killed, it leaves none of its services behind.
  posthouse.kill("SIGKILL");
  for (const command of commands)
    await eventually(`${command} fails`, () => spawnSync("bash", ["-c", `${command} -s`]).status !== 0);
}, 300_000);
