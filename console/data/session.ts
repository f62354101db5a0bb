/** Signing in and out, and what the signed-in principal may do, as the server says. */
import { ApiProblem, callApi, type ConsoleSession, sessionState } from "./api.ts";

const PATH = "/ui/api/session";

export async function loadSession(): Promise<void> {
  try {
    const { data } = await callApi<ConsoleSession>({ path: PATH });
    sessionState.value = { kind: "in", session: data };
  } catch (error) {
    if (error instanceof ApiProblem && error.status === 401) sessionState.value = { kind: "out" };
    else throw error;
  }
}

/** Shows the sign-in page if the server ended the session: its token was revoked, or a person has no binding any more. */
export async function noticeEndOfSession(): Promise<void> {
  if (sessionState.peek().kind !== "in") return;
  try {
    await callApi({ path: PATH });
  } catch (error) {
    if (error instanceof ApiProblem && error.status === 401) sessionState.value = { kind: "out" };
  }
}

/** Signs in by a token or by the code of a one-time link. @throws ApiProblem */
export async function signIn(by: { readonly token: string } | { readonly code: string }): Promise<void> {
  const { data } = await callApi<ConsoleSession>({ method: "POST", path: PATH, body: by });
  sessionState.value = { kind: "in", session: data };
}

export async function signOut(): Promise<void> {
  await callApi({ method: "DELETE", path: PATH });
  sessionState.value = { kind: "out" };
}

export function can(action: string): boolean {
  const state = sessionState.value;
  return state.kind === "in" && state.session.actions.includes(action);
}

export function policyNames(): string {
  const state = sessionState.value;
  return state.kind === "in" ? state.session.policies.join(", ") : "";
}
