/** A choice of policies: the built-in ones with their meaning, then one's own. */
import type { PolicyList } from "#access/api";
import { useResource } from "../../data/resource.ts";
import { can } from "../../data/session.ts";
import { isBuiltIn, TOKEN_POLICIES } from "./core.ts";
import { accessText } from "./text.ts";

interface PolicyChoiceProps {
  readonly chosen: readonly string[];
  readonly onChange: (policies: readonly string[]) => void;
}

export function PolicyChoice({ chosen, onChange }: PolicyChoiceProps) {
  const text = accessText();
  const own = useOwnPolicies();
  const toggle = (name: string, isOn: boolean) =>
    onChange(isOn ? [...chosen, name] : chosen.filter((one) => one !== name));
  const names = [...TOKEN_POLICIES, ...own.keys()];
  return (
    <fieldset class="roles">
      <legend class="field-label">{text.policies}</legend>
      {names.map((name) => (
        <label key={name} class="role">
          <input
            type="checkbox"
            checked={chosen.includes(name)}
            onChange={(event) => toggle(name, event.currentTarget.checked)}
          />
          <b>{name}</b>
          <span class="muted">{isBuiltIn(name) ? text[`policy_${name}`] : own.get(name)}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** One's own policies with their descriptions. */
export function useOwnPolicies(): ReadonlyMap<string, string> {
  const { data } = useResource<PolicyList>(can("access:manage") ? "/v1/policies" : undefined, ["access"]);
  return new Map(
    (data?.policies ?? []).filter(({ builtIn }) => !builtIn).map(({ name, description = "" }) => [name, description]),
  );
}
