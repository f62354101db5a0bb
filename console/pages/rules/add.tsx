/** Adding a rule by its parts: caller, effect, destination. */
import { Plus } from "lucide";
import { useSignal } from "@preact/signals";
import type { ServiceList } from "#registry/api";
import { Button } from "../../components/button.tsx";
import { SelectField, TextField } from "../../components/field.tsx";
import { showToast } from "../../components/toast.tsx";
import { pathOf } from "../../data/api.ts";
import { useNamespace } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { isCaller, isDestination, type NewRule, withRule } from "./core.ts";
import { rulesText } from "./text.ts";

interface AddRuleProps {
  readonly text: string;
  readonly onChange: (text: string) => void;
}

const EMPTY: NewRule = { from: "", to: "", allow: true };

export function AddRule({ text: value, onChange }: AddRuleProps) {
  const text = rulesText();
  const rule = useSignal(EMPTY);
  const names = useServiceNames();
  const { from, to, allow } = rule.value;
  const change = (part: Partial<NewRule>) => (rule.value = { ...rule.value, ...part });
  const isReady = isCaller(from) && isDestination(to);
  const add = () => {
    if (!isReady) return;
    const next = withRule(value, rule.value);
    if (next === undefined) return showToast(text.cannotEdit, "bad");
    rule.value = { ...EMPTY, to };
    onChange(next);
  };
  return (
    <form
      class="rules-add"
      onSubmit={(event) => {
        event.preventDefault();
        add();
      }}
    >
      <TextField
        label={text.from}
        isMono
        value={from}
        hint={text.fromHint}
        suggestions={["gateway", "*", ...names]}
        error={from === "" || isCaller(from) ? undefined : text.wrongName(from)}
        onInput={(next) => change({ from: next.trim() })}
      />
      <SelectField
        label={text.effect}
        value={allow ? "may" : "mayNot"}
        options={[
          ["may", text.may],
          ["mayNot", text.mayNot],
        ]}
        onChange={(next) => change({ allow: next === "may" })}
      />
      <TextField
        label={text.to}
        isMono
        value={to}
        hint={text.toHint}
        suggestions={["*", ...names]}
        error={to === "" || isDestination(to) ? undefined : text.wrongName(to)}
        onInput={(next) => change({ to: next.trim() })}
      />
      <Button icon={Plus} type="submit" needs="config:draft" isDisabled={!isReady}>
        {text.add}
      </Button>
    </form>
  );
}

export function useServiceNames(): readonly string[] {
  const [namespace] = useNamespace();
  const { data } = useResource<ServiceList>(pathOf`/v1/services?namespace=${namespace}`, [`services:${namespace}`]);
  return (data?.services ?? []).map(({ service }) => service);
}
