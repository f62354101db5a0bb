/** Topics of the registry's hub: each service has one, and each namespace has one for all of its services. */
import type { ServiceName } from "./core/keys.ts";

export function serviceTopic(namespace: string, service: string): string {
  return `${namespace}/${service}`;
}

export function namespaceTopic(namespace: string): string {
  return `${namespace}/*`;
}

/** The topics that a change of the service is published to. */
export function topicsOf({ namespace, service }: ServiceName): string[] {
  return [serviceTopic(namespace, service), namespaceTopic(namespace)];
}

/** The service of a topic; without a service for all of a namespace. */
export function serviceOfTopic(topic: string): Partial<ServiceName> & { readonly namespace: string } {
  const [namespace = "", service = "*"] = topic.split("/");
  return service === "*" ? { namespace } : { namespace, service };
}
