/** What tests share: hosts, temporary folders, free ports, real processes. */
export * from "./control.ts";
export * from "./etcd.ts";
export * from "./host.ts";
export * from "./temp.ts";
export * from "./process.ts";
export * from "./proxy.ts";
export * from "./shell.ts";
export * from "./guide.ts";
export * from "./life.ts";
