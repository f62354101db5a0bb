/** Checks a text while it is written: by the server, after each pause. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { GatewayCheckAnswer, GatewayCheckRequest } from "#gateway/api";
import { ApiProblem, callApi } from "../../data/api.ts";
import { can } from "../../data/session.ts";

export interface TextCheck {
  /** Of the last text that was checked. */
  readonly answer: GatewayCheckAnswer | undefined;
  readonly problem: ApiProblem | undefined;
  readonly isRunning: boolean;
}

/** Milliseconds without a change before a check: a short pause in writing. */
const PAUSE_MS = 300;

export async function checkText(body: GatewayCheckRequest, signal?: AbortSignal): Promise<GatewayCheckAnswer> {
  return (await callApi<GatewayCheckAnswer>({ method: "POST", path: "/v1/gateway/check", body, signal })).data;
}

/** undefined: nothing is checked. */
export function useTextCheck(namespace: string, text: string | undefined): TextCheck {
  const state = useSignal<TextCheck>({ answer: undefined, problem: undefined, isRunning: false });
  const isAllowed = can("config:draft");
  useEffect(() => {
    if (text === undefined || !isAllowed) return undefined;
    const abort = new AbortController();
    const run = async () => {
      try {
        const answer = await checkText({ namespace, config: text }, abort.signal);
        state.value = { answer, problem: undefined, isRunning: false };
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
  }, [namespace, text, isAllowed, state]);
  return state.value;
}
