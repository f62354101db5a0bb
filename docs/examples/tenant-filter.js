/**
 * A filter of one's own: the first label of the host is a tenant, which must be known, and which the service and the client are told.
 * Run posthouse with `--gateway-filters docs/examples/tenant-filter.js`, the control API as well as each gateway.
 */
export default {
  name: "tenant",
  description: "Tells the service whose host was asked for.",
  phase: "request",
  schema: {
    type: "object",
    required: ["tenants"],
    additionalProperties: false,
    properties: { tenants: { type: "array", items: { type: "string" }, minItems: 1 } },
  },
  build({ tenants }) {
    const known = new Set(tenants);
    const tenantOf = ({ head }) => head.host.split(".", 1)[0];
    return {
      request(request) {
        const tenant = tenantOf(request);
        if (!known.has(tenant))
          return { kind: "refuse", error: "FILTER_REFUSED", status: 404, detail: "No such tenant." };
        return { kind: "pass", remove: ["x-tenant"], set: [["x-tenant", tenant]] };
      },
      answer({ headers }, request) {
        headers["x-served-for"] = tenantOf(request);
      },
    };
  },
};
