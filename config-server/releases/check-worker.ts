/** Checks in a thread of its own: a large value takes its time, a schema may hold a pattern that never ends. */
import { parentPort } from "node:worker_threads";
import type { Items, ReleaseProblem } from "../api.ts";
import { checkSyntax } from "../core/format.ts";
import { validateBySchema, type SchemaTask } from "./schema.ts";

export type CheckTask = { readonly syntaxOf: Items } | { readonly schemas: readonly SchemaTask[] };

/** First that the thread has begun, then what each check found. */
export type CheckAnswer = "begun" | ReleaseProblem[];

parentPort?.on("message", (task: CheckTask) => {
  const problems = "schemas" in task ? validateBySchema(task.schemas) : checkSyntax(task.syntaxOf);
  parentPort?.postMessage(problems satisfies CheckAnswer, []);
});
// The time limit of a check begins here: a busy machine takes seconds to start a thread, and the release is not to blame.
parentPort?.postMessage("begun" satisfies CheckAnswer, []);
