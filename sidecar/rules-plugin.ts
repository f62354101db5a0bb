/** The routes of service rules: those in force with the verdict on observed calls, and the same for a text before its release. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import {
  RULES_TEXT_MAX,
  ServiceRulesAnswer,
  ServiceRulesCheckAnswer,
  ServiceRulesCheckRequest,
  ServiceRulesQuery,
} from "./api.ts";
import { judgeCalls, type SeenCall } from "./core/rules-view.ts";
import { NO_RULES, readServiceRules } from "./core/service-rules.ts";

export interface RuleFacts {
  /** The released text of service-rules.yaml. */
  released(namespace: string): string | undefined;
  /** Calls of the last hour to services of a namespace. */
  calls(namespace: string): readonly SeenCall[];
}

const DEFAULT_NAMESPACE = "default";
/** Bytes of a body: the longest text, escaped as JSON. */
const CHECK_BYTES_MAX = 2 * RULES_TEXT_MAX;
const tags = ["registry"];

export function serviceRulesPlugin(untyped: FastifyInstance, facts: RuleFacts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.get(
    "/v1/service-rules",
    {
      config: { action: "registry:read" },
      schema: {
        tags,
        summary: "Read the rules between services, and their verdict on the calls of the last hour",
        querystring: ServiceRulesQuery,
        response: { 200: ServiceRulesAnswer },
      },
    },
    ({ query: { namespace = DEFAULT_NAMESPACE, from, to } }) => {
      // A release with problems never becomes live, so an unreadable text is that of an older version: nothing is closed by it.
      const rules = readServiceRules(facts.released(namespace) ?? "", namespace).rules ?? NO_RULES;
      return judgeCalls(rules, { namespace, calls: facts.calls(namespace), from, to });
    },
  );
  app.post(
    "/v1/service-rules/check",
    {
      config: { action: "registry:read" },
      bodyLimit: CHECK_BYTES_MAX,
      schema: {
        tags,
        summary: "Check rules between services without a release: problems, and what they would deny",
        body: ServiceRulesCheckRequest,
        response: { 200: ServiceRulesCheckAnswer },
      },
    },
    ({ body: { namespace = DEFAULT_NAMESPACE, text, from, to } }) => {
      const { rules, problems = [] } = readServiceRules(text, namespace);
      if (!rules) return { problems: [...problems] };
      return { problems: [], judged: judgeCalls(rules, { namespace, calls: facts.calls(namespace), from, to }) };
    },
  );
}
