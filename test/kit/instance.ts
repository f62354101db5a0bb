/** An instance as readers see it, for tests of decisions about instances. */
import type { Instance } from "#registry/api";

export function testInstance(over: Partial<Instance> = {}): Instance {
  return {
    namespace: "default",
    service: "orders",
    id: "orders-1",
    address: "10.0.0.1",
    port: 8080,
    protocol: "http",
    ports: [],
    tags: [],
    metadata: {},
    weight: 100,
    lifecycle: "serving",
    status: "passing",
    checks: [],
    createRevision: 1,
    modRevision: 1,
    ...over,
  };
}
