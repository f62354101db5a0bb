/** Validates in a thread of its own: a schema may hold a pattern that takes for ever, and then the thread is ended. */
import { parentPort, workerData } from "node:worker_threads";
import { validateBySchema, type SchemaTask } from "./schema.ts";

export type SchemaAnswer = ReturnType<typeof validateBySchema>;

parentPort?.postMessage(validateBySchema(workerData as readonly SchemaTask[]) satisfies SchemaAnswer, []);
