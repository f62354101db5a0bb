/** The next command for an error, by its code. The first row that matches applies. */

/** A code, or the begin of codes with `*` at its end; and what to run. */
const HINTS: readonly (readonly [code: string, next: string])[] = [
  ["CLIENT_UNREACHABLE", "posthouse doctor"],
  ["CLIENT_BAD_ANSWER", "posthouse doctor"],
  ["CLIENT_*", "posthouse status"],
  ["CLI_TOKEN_MISSING", "posthouse login --token -"],
  ["CLI_CONTEXT_NOT_FOUND", "posthouse context ls"],
  ["CLI_CONTEXTS_INVALID", "posthouse context --help"],
  ["CLI_CONTEXTS_EXPOSED", 'chmod 600 "${XDG_CONFIG_HOME:-$HOME/.config}/posthouse/contexts.yaml"'],
  ["CLI_CONFIRMATION_MISSING", "repeat the command with --yes"],
  ["CLI_APPLY_INCOMPLETE", "repair the cause, then repeat the command; what was applied stays applied"],
  ["CLI_RESOURCE_INVALID", "posthouse apply --help"],
  ["CLI_CONFLICT", "repeat the command"],
  ["CLI_TIMEOUT", "posthouse status"],
  ["CLI_*", "posthouse help"],
  ["SETTINGS_*", "posthouse up --help"],
  ["HTTP_TOKEN_*", "posthouse login --token -"],
  ["HTTP_FORBIDDEN", "posthouse acl test ACTION"],
  ["HTTP_TOO_MANY_BAD_TOKENS", "wait a minute, then posthouse login --token -"],
  ["HTTP_UNAVAILABLE", "posthouse status"],
  ["HTTP_*", "posthouse doctor"],
  ["REGISTRY_SERVICE_NOT_FOUND", "posthouse services ls"],
  ["REGISTRY_INSTANCE_NOT_FOUND", "posthouse instances SERVICE"],
  ["REGISTRY_*", "posthouse services --help"],
  ["CONFIG_SET_NOT_FOUND", "posthouse config ls"],
  ["CONFIG_KEY_NOT_FOUND", "posthouse config get SET"],
  ["CONFIG_RELEASE_NOT_FOUND", "posthouse config history SET"],
  ["CONFIG_VERSION_CONFLICT", "posthouse config get SET KEY, then repeat the command with the new --cas"],
  ["CONFIG_SET_OWNED", "posthouse config sources"],
  ["CONFIG_SOURCE_*", "posthouse config sources"],
  ["CONFIG_REVIEW_REQUIRED", "posthouse config drafts set SET KEY FILE, then posthouse config propose SET"],
  ["CONFIG_ROLLOUT_ACTIVE", "posthouse config rollout status SET"],
  ["CONFIG_ROLLOUT_*", "posthouse rollouts SET"],
  ["CONFIG_*", "posthouse config --help"],
  ["LOCKS_*", "posthouse locks ls"],
  ["ACCESS_TOKEN_NOT_FOUND", "posthouse token ls"],
  ["ACCESS_LOCKOUT", "posthouse token create NAME --policy operator"],
  ["ACCESS_POLICY_*", "posthouse policy ls"],
  ["ACCESS_BINDING_NOT_FOUND", "posthouse binding ls"],
  ["ACCESS_SIGN_IN_NOT_FOUND", "posthouse session ls"],
  ["ACCESS_EXCEEDS_OWN", "posthouse token inspect"],
  ["ACCESS_ACTION_UNKNOWN", "posthouse policy show operator"],
  ["ACCESS_*", "posthouse token --help"],
  ["GATEWAY_*", "posthouse gateway validate FILE"],
  ["STORE_*", "posthouse store repair --dry-run"],
  ["SERVER_*", "posthouse doctor"],
];

export function hintOf(code: string): string {
  const matches = ([pattern]: (typeof HINTS)[number]) =>
    pattern.endsWith("*") ? code.startsWith(pattern.slice(0, -1)) : code === pattern;
  return HINTS.find(matches)?.[1] ?? "posthouse help";
}
