/**
 * The zip that the Apollo portal exports: `OWNER/APP/ENV/APP+CLUSTER+NAMESPACE`, and descriptions of apps, clusters and namespaces
 * (`*.metadata`). Each environment becomes a namespace, each cluster a profile, and each namespace a key.
 */
import { asObject, asText, readDocument } from "./documents.ts";
import { Conversion, type Convert, PROFILE_DEFAULT } from "./conversion.ts";

const CLUSTER_DEFAULT = "default";

export const convertApollo: Convert = (files, options) => {
  const result = new Conversion();
  for (const file of files) {
    const parts = file.path.split("/");
    const name = parts.at(-1) ?? "";
    if (name.endsWith(".appnamespace.metadata")) {
      const { name: namespace, appId, isPublic } = asObject(readDocument(file));
      if (isPublic === true) {
        const app = asText(appId);
        result.note(name, `public. Apps that use "${asText(namespace)}" need "- ${app}" in their key imports.yaml`);
      }
      continue;
    }
    if (name.endsWith(".metadata")) continue;
    const [app = "", cluster = "", namespace, ...more] = name.split("+");
    if (namespace === undefined || more.length > 0) {
      result.note(file.path, "not converted, because its name is not APP+CLUSTER+NAMESPACE");
      continue;
    }
    const environment = parts.at(-2);
    if (options.namespace === undefined && environment === undefined) {
      result.note(file.path, "not converted, because no folder names its environment. Use --namespace");
      continue;
    }
    const profile = cluster === CLUSTER_DEFAULT ? PROFILE_DEFAULT : cluster;
    result.put(file.path, { namespace: options.namespace ?? environment ?? "", app, profile }, namespace, file.bytes);
  }
  return result;
};
