/** Commands that the pages of services offer. */
import { curlOf } from "../../data/commands.ts";
import { pathOf } from "../../data/api.ts";

export { namespaceWords } from "../../data/commands.ts";

/** Registers an instance of a service that runs on this machine. */
export function registerCommand(namespace: string, service = "hello"): string {
  return curlOf({
    method: "PUT",
    path: pathOf`/v1/services/${service}/instances/${`${service}-1`}?namespace=${namespace}`,
    body: { address: "127.0.0.1", port: 8080 },
  });
}
