/** Shared by the tests: hosts, temporary folders, free ports, real processes. */
import type { TestControl, TestControlOptions } from "./control.ts";

export * from "./etcd.ts";
export * from "./host.ts";
export * from "./temp.ts";
export * from "./process.ts";
export * from "./proxy.ts";
export * from "./shell.ts";
export * from "./guide.ts";
export * from "./life.ts";
export * from "./watch-feed.ts";

export type { TestControl, TestControlOptions } from "./control.ts";

/** A control API in this process. Loaded where it is used: it takes a second of CPU time, and most tests do without. */
export async function withControl(options: TestControlOptions = {}): Promise<TestControl> {
  const control = await import("./control.ts");
  return control.withControl(options);
}
