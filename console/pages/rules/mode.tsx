/** The mode of a namespace's rules: open or strict, and whether denials are only reported. */
import { CheckField, Segmented } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { showToast } from "../../components/toast.tsx";
import type { ServiceRulesAnswer } from "#sidecar/api";
import { withFlag } from "./core.ts";
import { rulesText } from "./text.ts";

interface ModeCardProps {
  readonly rules: ServiceRulesAnswer;
  readonly text: string;
  /** Absent: the caller may not change it. */
  readonly onChange: ((text: string) => void) | undefined;
}

export function ModeCard({ rules: { strict, reportOnly }, text: value, onChange }: ModeCardProps) {
  const text = rulesText();
  const set = (flag: "strict" | "reportOnly", isOn: boolean) => {
    const next = withFlag(value, flag, isOn);
    if (next === undefined) showToast(text.cannotEdit, "bad");
    else onChange?.(next);
  };
  return (
    <Card title={text.mode}>
      {onChange ? (
        <>
          <Segmented
            label={text.mode}
            value={strict ? "strict" : "open"}
            options={[
              ["open", text.open],
              ["strict", text.strict],
            ]}
            onChange={(mode) => set("strict", mode === "strict")}
          />
          <p class="muted">{strict ? text.strictText : text.openText}</p>
          <CheckField label={text.reportOnly} isChecked={reportOnly} onChange={(isOn) => set("reportOnly", isOn)} />
        </>
      ) : (
        <p>
          <b>{strict ? text.strict : text.open}</b>. {strict ? text.strictText : text.openText}
        </p>
      )}
      {reportOnly && <p class="muted">{text.reportText}</p>}
    </Card>
  );
}
