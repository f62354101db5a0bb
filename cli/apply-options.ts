/** The options of `apply`, `plan` and `diff`, and the plan that they describe. */
import type { Command } from "commander";
import type { ControlCalls } from "#client/light";
import { CliErrors } from "./errors.ts";
import type { GivenOptions } from "./options.ts";
import { startProgress } from "./progress.ts";
import { type DesiredResource, readResources } from "./resources/documents.ts";
import { type Inventory, readInventory } from "./resources/inventory.ts";
import { type PlannedChange, planChanges, type PlanOptions } from "./resources/plan.ts";
import type { Paint } from "./table.ts";
import type { Terminal } from "./terminal.ts";

const OWNER = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export interface PlanRequest {
  readonly resources: readonly DesiredResource[];
  readonly owner: string | undefined;
  readonly options: PlanOptions;
}

export function withPlanOptions(command: Command): Command {
  return command
    .requiredOption("-f, --file <paths...>", "files or folders of resources, YAML or JSON; - is standard input")
    .option(
      "--owner <name>",
      "name of this collection of resources, such as platform; what it no longer has can be removed",
    )
    .option("--prune", "remove what this owner applied earlier and no longer describes")
    .option("--set-secrets", "write secrets that exist already again; their values cannot be compared")
    .option("--tokens-to <folder>", "folder that receives the secrets of new tokens");
}

/** Reads and checks the documents, without a call. @throws CLI_ARGUMENT_INVALID, CLI_RESOURCE_INVALID */
export async function planRequest(given: GivenOptions, terminal: Terminal): Promise<PlanRequest> {
  const { file, owner, prune, setSecrets, tokensTo, reason } = given as {
    file: string[];
    owner?: string;
    prune?: boolean;
    setSecrets?: boolean;
    tokensTo?: string;
    reason?: string;
  };
  if (owner !== undefined && !OWNER.test(owner)) {
    throw CliErrors.ARGUMENT_INVALID(`--owner ${owner} is not valid. Use a-z, 0-9 and -, at most 63.`);
  }
  if (prune && owner === undefined) {
    throw CliErrors.ARGUMENT_INVALID("--prune needs --owner: only what this owner applied earlier is removed.");
  }
  return {
    resources: await readResources(file, terminal),
    owner,
    options: { prune: prune === true, setSecrets: setSecrets === true, tokensTo, reason: reason ?? "posthouse apply" },
  };
}

export async function makePlan(
  client: ControlCalls,
  terminal: Terminal,
  { resources, owner, options }: PlanRequest,
): Promise<{ readonly changes: readonly PlannedChange[]; readonly inventory: Inventory }> {
  using _progress = startProgress(terminal, `comparing ${resources.length} resources`);
  const inventory = await readInventory(client, owner);
  return { inventory, changes: await planChanges(client, resources, inventory, options) };
}

const SIGNS = { create: "+", update: "~", delete: "-", orphaned: "?", unchanged: " " } as const;
const STYLES = { create: "green", update: "yellow", delete: "red", orphaned: "dim", unchanged: "dim" } as const;

/** A change and its lines, for people. */
export function changeText({ action, kind, id, lines }: PlannedChange, paint: Paint): string {
  const head = paint(STYLES[action], `${SIGNS[action]} ${kind.kind} ${id}: ${action}`);
  const body = lines.map((line) => `    ${paint(line.startsWith("+") ? "green" : "red", line)}\n`);
  return `${head}\n${body.join("")}`;
}

/** Whether a change alters the server. */
export function altersServer({ action }: PlannedChange): boolean {
  return action !== "unchanged" && action !== "orphaned";
}

export function planSummary(changes: readonly PlannedChange[]): string {
  const count = (action: PlannedChange["action"]) => changes.filter((one) => one.action === action).length;
  const orphaned = count("orphaned");
  return (
    `${count("create")} to create, ${count("update")} to update, ${count("delete")} to remove, ${count("unchanged")} unchanged` +
    (orphaned === 0 ? "" : `, ${orphaned} no longer described (--prune removes them)`)
  );
}
