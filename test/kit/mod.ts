/** Shared by the tests: hosts, temporary folders, free ports, real processes. */
import type { BundledProgram } from "./bundle.ts";
import type { TestControl, TestControlOptions } from "./control.ts";

export * from "./built-program.ts";
export * from "./etcd.ts";
export * from "./host.ts";
export * from "./temp.ts";
export * from "./process.ts";
export * from "./proxy.ts";
export * from "./shell.ts";
export * from "./tls.ts";
export * from "./guide.ts";
export * from "./life.ts";
export * from "./watch-feed.ts";

export type { TestControl, TestControlOptions } from "./control.ts";

/** A control API in this process. Loaded where it is used: it takes a second of CPU time, and most tests do without. */
export async function withControl(options: TestControlOptions = {}): Promise<TestControl> {
  const control = await import("./control.ts");
  return control.withControl(options);
}

/** Bundles a program that a test starts many times. Loaded where it is used: the bundler is large. */
export async function bundled(source: string): Promise<BundledProgram> {
  const { bundledProgram } = await import("./bundle.ts");
  return bundledProgram(source);
}
