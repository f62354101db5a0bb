/** A question about rights: from the URL, as a call, and as a command. Pure. */
import { cliOf } from "../../data/commands.ts";
import { ACTION_FIELDS, type ActionName, RESOURCE_FIELDS, type ResourceField } from "./actions.ts";
import { namesIn } from "./core.ts";

export const WHO = ["me", "token", "person", "policies"] as const;
export type Who = (typeof WHO)[number];

export interface CheckQuestion {
  readonly who: Who;
  /** Id of the token. */
  readonly token: string;
  readonly user: string;
  readonly groups: string;
  readonly policies: string;
  readonly action: ActionName | undefined;
  /** Only fields that the action has. */
  readonly resource: Readonly<Partial<Record<ResourceField, string>>>;
}

export function questionFrom(values: Readonly<Record<string, string | undefined>>): CheckQuestion {
  const text = (name: string) => values[name] ?? "";
  const action = Object.hasOwn(ACTION_FIELDS, text("action")) ? (text("action") as ActionName) : undefined;
  const fields: readonly string[] = action === undefined ? [] : ACTION_FIELDS[action];
  return {
    who: WHO.find((one) => one === values["who"]) ?? "me",
    token: text("token"),
    user: text("user"),
    groups: text("groups"),
    policies: text("policies"),
    action,
    resource: Object.fromEntries(
      RESOURCE_FIELDS.filter((field) => fields.includes(field) && text(field) !== "").map((field) => [
        field,
        text(field),
      ]),
    ),
  };
}

/** Whether the question names its subject and an action. */
export function isAskable({ who, token, user, groups, policies, action }: CheckQuestion): boolean {
  if (action === undefined) return false;
  if (who === "token") return /^[0-9a-f]{16}$/.test(token);
  if (who === "person") return user.trim() !== "" || namesIn(groups).length > 0;
  return who === "me" || namesIn(policies).length > 0;
}

export function checkPath(question: CheckQuestion): string {
  const { who, action = "", resource, token, user, groups, policies } = question;
  const query = new URLSearchParams({ action, ...resource });
  const put = (name: string, value: string) => {
    if (value !== "") query.set(name, value);
  };
  if (who === "token") put("token", token);
  if (who === "policies") put("policies", namesIn(policies).join(","));
  if (who === "person") {
    put("user", user.trim());
    put("groups", namesIn(groups).join(","));
  }
  return `/v1/acl/check?${query}`;
}

/** The options of the resource. */
export function resourceWords({ resource }: CheckQuestion): readonly string[] {
  return Object.entries(resource).flatMap(([field, value]) => [`--${field}`, value]);
}

/** The options that name the subject of the question. */
export function subjectWords({ who, token, user, groups, policies }: CheckQuestion): readonly string[] {
  const option = (name: string, values: readonly string[]) => (values.length === 0 ? [] : [name, ...values]);
  const words: Readonly<Record<Who, readonly string[]>> = {
    me: [],
    token: ["--of", token],
    policies: option("--policy", namesIn(policies)),
    person: [...(user.trim() === "" ? [] : ["--user", user.trim()]), ...option("--group", namesIn(groups))],
  };
  return words[who];
}

export function checkCommand(question: CheckQuestion): string {
  return cliOf("acl", "test", question.action ?? "ACTION", ...resourceWords(question), ...subjectWords(question));
}
