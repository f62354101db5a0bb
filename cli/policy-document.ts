/** A policy as a person writes it: one document, from a file or standard input. */
import { messageOf } from "#base";
import { CliErrors } from "./errors.ts";

/** YAML, or JSON, which is YAML, too. The server checks its fields. `needs`: what a policy must have. @throws CLI_RESOURCE_INVALID */
export async function parsePolicyDocument<Policy extends object>(bytes: Uint8Array, needs: string): Promise<Policy> {
  const { parse } = await import("yaml");
  let policy: unknown;
  try {
    policy = parse(Buffer.from(bytes).toString("utf8"), { maxAliasCount: 0 });
  } catch (cause) {
    throw CliErrors.RESOURCE_INVALID(`The policy is not valid YAML or JSON: ${messageOf(cause)}`, { cause });
  }
  if (typeof policy === "object" && policy !== null && !Array.isArray(policy)) return policy as Policy;
  throw CliErrors.RESOURCE_INVALID(`A policy must have ${needs}.`);
}
