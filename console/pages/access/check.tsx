/** Effective rights: a question about the reader, a token, a person or policies, and the rule that decides. */
import { Ban, CircleCheck, Search } from "lucide";
import type { ComponentChildren } from "preact";
import type { AclCheck, PolicySummary, TokenList } from "#access/api";
import type { PolicyRule } from "#authorization/api";
import { Badge } from "../../components/badge.tsx";
import { Segmented, SelectField, TextField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { setQuery, useQuery } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { can, policyNames } from "../../data/session.ts";
import { pathOf } from "../../data/api.ts";
import { actionText } from "./action-text.ts";
import { ACTION_FIELDS, ACTION_NAMES, RESOURCE_FIELDS } from "./actions.ts";
import { checkPath, checkCommand, type CheckQuestion, isAskable, questionFrom, WHO, type Who } from "./check-core.ts";
import { AccessFrame } from "./frame.tsx";
import { PolicyWords, RuleWords } from "./policy-words.tsx";
import { TOKEN_POLICIES } from "./core.ts";
import { useOwnPolicies } from "./policy-choice.tsx";
import { accessText } from "./text.ts";
import { viewsText } from "./text-views.ts";

export default function CheckView() {
  const text = viewsText();
  const question = useQuestion();
  const path = isAskable(question) ? checkPath(question) : undefined;
  const answer = useResource<AclCheck>(path, ["access"]);
  return (
    <>
      <AccessFrame view="check" cli={checkCommand(question)} call={{ path: path ?? "/v1/acl/check" }} />
      <div class="access-columns">
        <Card title={text.checkTitle}>
          <Question question={question} />
        </Card>
        <Card title={text.answer}>
          {path === undefined ? (
            <EmptyState icon={Search} title={text.answer}>
              {text.ask}
            </EmptyState>
          ) : (
            <div aria-live="polite" class="access-answer">
              <Loaded of={answer} rows={3}>
                {(data) => <Answer of={data} />}
              </Loaded>
            </div>
          )}
        </Card>
      </div>
    </>
  );
}

/** In the URL, `namespace` is the one that the pages show, and `in` is that of the question. */
const queryName = (name: string) => (name === "namespace" ? "in" : name);

/** The question is in the URL, so that it can be sent to a colleague. */
function useQuestion(): CheckQuestion {
  const names = ["who", "token", "user", "groups", "policies", "action", ...RESOURCE_FIELDS] as const;
  const values = Object.fromEntries(names.map((name) => [name, useQuery(queryName(name))[0]]));
  return questionFrom(values);
}

const ask = (values: Readonly<Record<string, string>>) => setQuery(values);

function Question({ question }: { readonly question: CheckQuestion }) {
  const text = viewsText();
  const words = actionText();
  const { action } = question;
  const fields = action === undefined ? [] : ACTION_FIELDS[action];
  const who = can("access:explain") ? WHO : (["me"] as const);
  return (
    <div class="access-question">
      <div class="field">
        <span class="field-label">{text.who}</span>
        <Segmented<Who>
          label={text.who}
          value={question.who}
          options={who.map((one) => [one, text[`who_${one}`]] as const)}
          onChange={(next) => ask({ who: next === "me" ? "" : next })}
        />
      </div>
      <Subject question={question} />
      <SelectField
        label={text.action}
        value={action ?? ""}
        hint={action === undefined ? "" : words[action]}
        options={[["", "–"], ...ACTION_NAMES.map((one) => [one, one] as const)]}
        onChange={(next) => ask({ action: next })}
      />
      {fields.map((field) => (
        <TextField
          key={field}
          label={text[`field_${field}`]}
          isMono
          placeholder={text.anyValue}
          value={question.resource[field] ?? ""}
          onInput={(next) => ask({ [queryName(field)]: next.trim() })}
        />
      ))}
    </div>
  );
}

function Subject({ question: { who, token, user, groups, policies } }: { readonly question: CheckQuestion }) {
  const text = viewsText();
  if (who === "me") return <p class="muted">{policyNames()}</p>;
  if (who === "token") return <TokenField token={token} />;
  if (who === "policies") return <PoliciesField policies={policies} />;
  return (
    <>
      <TextField label={text.user} value={user} onInput={(next) => ask({ user: next })} />
      <TextField label={text.groups} hint={text.groupsHint} value={groups} onInput={(next) => ask({ groups: next })} />
    </>
  );
}

function TokenField({ token }: { readonly token: string }) {
  const list = useResource<TokenList>(can("access:manage") ? "/v1/tokens" : undefined, ["access"]);
  const text = accessText();
  const known = list.data?.tokens ?? [];
  if (known.length === 0)
    return <TextField label={text.id} isMono value={token} onInput={(next) => ask({ token: next.trim() })} />;
  return (
    <SelectField
      label={text.token}
      value={token}
      options={[["", "–"], ...known.map(({ id, name, policies }) => [id, `${name} · ${policies.join(", ")}`] as const)]}
      onChange={(next) => ask({ token: next })}
    />
  );
}

function PoliciesField({ policies }: { readonly policies: string }) {
  const own = useOwnPolicies();
  return (
    <TextField
      label={viewsText().view_policies}
      hint={viewsText().groupsHint}
      isMono
      suggestions={[...TOKEN_POLICIES, ...own.keys()]}
      value={policies}
      onInput={(next) => ask({ policies: next })}
    />
  );
}

function Answer({ of }: { readonly of: AclCheck }) {
  const text = viewsText();
  const { allowed, rule, limit, limits, policies, missing } = of;
  return (
    <>
      <div class="actions">
        <Badge tone={allowed ? "good" : "bad"} icon={allowed ? CircleCheck : Ban}>
          {allowed ? text.allowed : text.notAllowed}
        </Badge>
        <span class="muted">{policies.join(", ")}</span>
      </div>
      <p>
        {limit !== undefined
          ? text.limitDecides(`${accessText()[limit]}: ${limits?.[limit]?.join(", ") ?? ""}`)
          : rule
            ? text.decides(rule.policy, rule.index)
            : text.noRule}
      </p>
      {rule && can("access:manage") && <DecidingPolicy name={rule.policy} index={rule.index} />}
      {missing && (
        <>
          <p class="muted">{text.missing}</p>
          <MissingRule rule={missing} />
        </>
      )}
    </>
  );
}

function DecidingPolicy({ name, index }: { readonly name: string; readonly index: number }) {
  const policy = useResource<PolicySummary>(pathOf`/v1/policies/${name}`, ["access"]);
  return (
    <Loaded of={policy} rows={2}>
      {({ rules }): ComponentChildren => <PolicyWords rules={rules} marked={index} />}
    </Loaded>
  );
}

function MissingRule({ rule }: { readonly rule: PolicyRule }) {
  return (
    <div class="policy-rules missing">
      <RuleWords rule={rule} />
    </div>
  );
}
