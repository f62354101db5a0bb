/** The program. `bin/posthouse` reports a Node version that is too old before this file is parsed. */
import { runCli } from "./program.ts";
import { processTerminal } from "./terminal.ts";

const { code, isFailed } = await runCli(process.argv.slice(2), processTerminal());
process.exitCode = code;
// Resources that a failed start left open must not keep the process alive.
if (isFailed) process.exit();
