/** The rules of a namespace: their released text with its verdicts, the text that is being written, and the server's check of it. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { ServiceRulesAnswer, ServiceRulesCheckAnswer, ServiceRulesCheckRequest } from "#sidecar/api";
import { ApiProblem, callApi, pathOf } from "../../data/api.ts";
import { type ConfigSource, configTextReader, TextDrafts } from "../../data/config-text.ts";
import { type Resource, useResource } from "../../data/resource.ts";

export const RULES_KEY = "service-rules.yaml";
export const RULES_APP = "posthouse";

export const rulesPath = (namespace: string) => pathOf`/v1/config/${namespace}/${RULES_APP}/default`;
const rulesTopic = (namespace: string) => `config:${namespace}/${RULES_APP}/default`;
const readSource = configTextReader(RULES_KEY);

export const ruleDrafts = new TextDrafts();

export function useRulesSource(namespace: string): Resource<ConfigSource> {
  return useResource<ConfigSource>(rulesPath(namespace), [rulesTopic(namespace)], readSource);
}

export const answerPath = (namespace: string) => pathOf`/v1/service-rules?namespace=${namespace}`;

export function useServiceRules(namespace: string): Resource<ServiceRulesAnswer> {
  return useResource<ServiceRulesAnswer>(answerPath(namespace), [rulesTopic(namespace), `traffic:${namespace}`]);
}

export interface RulesCheck {
  /** Of the last text that was checked. */
  readonly answer: ServiceRulesCheckAnswer | undefined;
  readonly problem: ApiProblem | undefined;
  readonly isRunning: boolean;
}

/** Milliseconds without a change before a check: a short pause in writing. */
const PAUSE_MS = 300;
const NO_CHECK: RulesCheck = { answer: undefined, problem: undefined, isRunning: false };

/** The server's check of a text, after each pause in writing. undefined: there is nothing to check. */
export function useRulesCheck(request: ServiceRulesCheckRequest | undefined): RulesCheck {
  const state = useSignal<RulesCheck>(NO_CHECK);
  const body = request && JSON.stringify(request);
  useEffect(() => {
    if (body === undefined) {
      state.value = NO_CHECK;
      return undefined;
    }
    const abort = new AbortController();
    const run = async () => {
      try {
        const call = { method: "POST", path: "/v1/service-rules/check", body: JSON.parse(body) as unknown } as const;
        const { data } = await callApi<ServiceRulesCheckAnswer>({ ...call, signal: abort.signal });
        state.value = { answer: data, problem: undefined, isRunning: false };
      } catch (error) {
        if (abort.signal.aborted) return;
        const problem = error instanceof ApiProblem ? error : new ApiProblem(0, { detail: String(error) });
        state.value = { ...state.peek(), problem, isRunning: false };
      }
    };
    state.value = { ...state.peek(), isRunning: true };
    const timer = setTimeout(() => void run(), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [body, state]);
  return state.value;
}
