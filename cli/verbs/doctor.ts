/** `posthouse doctor`: looks for problems of this host, of the server and of the way to it, and says what to do. */
import type { Command } from "commander";
import { messageOf } from "#base";
import type { Finding } from "../checks/check.ts";
import { DOCTOR_CHECKS } from "../checks/checks.ts";
import { askServer } from "../checks/server.ts";
import { controlSettings } from "../control-client.ts";
import { EXIT } from "../exit-codes.ts";
import { type GivenOptions, withControl, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import { type Column, formatFor, formatRows, paintFor, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

interface Row extends Finding {
  readonly check: string;
}

const COLUMNS: readonly Column<Row>[] = [
  ["CHECK", ({ check }) => check],
  ["RESULT", ({ level }) => level],
  ["FOUND", ({ detail }) => detail],
  ["NEXT", ({ next }) => next],
];

/** Settings that say where the roles of this host are. */
const SETTINGS = [
  ...(["data", "host", "port", "portBase", "gatewayHost", "gatewayPort", "gatewayTlsPort"] as const),
  ...(["agentHost", "agentPort", "store", "etcdUrls", "secretKeyFile", "secretKeyCommand"] as const),
];

export function define(command: Command, { terminal, exit }: VerbContext): void {
  withSettings(withControl(withOutput(command)), SETTINGS);
  withExamples(command, ["posthouse doctor", "posthouse doctor --data /var/lib/posthouse -o json"]);
  command.addHelpText("after", `\nExit code ${EXIT.failed}: a check failed. Warnings do not change the exit code.`);
  command.action(async (options: GivenOptions) => {
    const control = await controlSettings(options, terminal);
    const { values } = readSettings({ ...options, controlUrls: undefined, token: undefined }, terminal);
    const inputs = { settings: values, control, server: askServer(control) };
    const rows = await Promise.all(
      DOCTOR_CHECKS.map(async ({ name, run }): Promise<Row> => {
        try {
          return { check: name, ...(await run(inputs)) };
        } catch (error) {
          return { check: name, level: "fail", detail: `the check itself failed: ${messageOf(error)}` };
        }
      }),
    );
    terminal.out(await formatRows(formatFor(options, terminal), COLUMNS, rows, paintFor(terminal)));
    if (rows.some(({ level }) => level === "fail")) exit(EXIT.failed);
  });
}
