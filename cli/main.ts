/** The program. On a Node that is too old, `bin/posthouse` says so before this file is parsed. */
import { runCli } from "./program.ts";
import { processTerminal } from "./terminal.ts";

const { code, isFailed } = await runCli(process.argv.slice(2), processTerminal());
process.exitCode = code;
// What a failed start left open must not keep the process alive.
if (isFailed) process.exit();
