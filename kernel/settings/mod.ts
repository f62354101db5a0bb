/** How this process is configured. ("config" is what the config server serves.) */
export * from "./control.ts";
export * from "./load.ts";
export * from "./schema.ts";
export type { OtlpProtocol } from "./telemetry.ts";
