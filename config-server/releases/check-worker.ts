/** Runs checks in a separate thread: a large value takes long, and a schema may have a pattern that never ends. */
import { parentPort } from "node:worker_threads";
import type { Items, ReleaseProblem } from "../api.ts";
import { checkSyntax } from "../core/format.ts";
import { validateBySchema, type SchemaTask } from "./schema.ts";

export type CheckTask = { readonly syntaxOf: Items } | { readonly schemas: readonly SchemaTask[] };

/** The first message: the thread has begun. Then the problems that each check found. */
export type CheckAnswer = "begun" | ReleaseProblem[];

parentPort?.on("message", (task: CheckTask) => {
  const problems = "schemas" in task ? validateBySchema(task.schemas) : checkSyntax(task.syntaxOf);
  parentPort?.postMessage(problems satisfies CheckAnswer, []);
});
// The time limit of a check begins here: a busy machine may need seconds to start a thread, which is not the release's fault.
parentPort?.postMessage("begun" satisfies CheckAnswer, []);
