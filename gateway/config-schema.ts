/** The JSON Schema of a gateway config, for editors: with the schemas of the filters that routes can name. */
import { FilterUse, GatewayConfig } from "./api.ts";
import type { Filters } from "./core/request/filter.ts";

/** JSON of the schema; `indent` spaces per level. */
export function gatewayConfigSchema(filters: Filters, indent = 0): string {
  const uses = [...filters.values()].map(({ name, schema }) => ({
    if: { properties: { name: { const: name } } },
    then: {
      properties: { config: schema },
      ...("minProperties" in schema ? { required: ["config"] } : {}),
    },
  }));
  const shape = JSON.stringify(FilterUse);
  return JSON.stringify(
    GatewayConfig,
    (_key, value: unknown) => {
      const isUse = typeof value === "object" && value !== null && JSON.stringify(value) === shape;
      return isUse ? { ...value, allOf: uses } : value;
    },
    indent,
  );
}
