/** The stages of a gradual release. */
import { Plus, X } from "lucide";
import { Button } from "../../../components/button.tsx";
import { SelectField, TextField } from "../../../components/field.tsx";
import { newStage, type RolloutFields as Fields, type StageBy, type StageFields } from "../core/rollout-plan.ts";
import { releaseText } from "../release-text.ts";

/** As the server allows, without the last stage. */
const STAGES_MAX = 16;
const KINDS: readonly StageBy[] = ["percent", "labels", "instances"];

interface RolloutFieldsProps {
  readonly fields: Fields;
  readonly onChange: (fields: Fields) => void;
}

export function RolloutFields({ fields, onChange }: RolloutFieldsProps) {
  const text = releaseText();
  const { stages } = fields;
  return (
    <div class="config-form">
      <ol class="config-stages">
        {stages.map((stage, index) => (
          <li key={stage.id}>
            <span class="stage-mark" aria-hidden="true">
              {index + 1}
            </span>
            <StageRow
              stage={stage}
              onChange={(next) => onChange({ ...fields, stages: stages.map((one) => (one === stage ? next : one)) })}
            />
            {stages.length > 1 && (
              <Button
                kind="quiet"
                isSmall
                icon={X}
                label={`${text.removeStage} ${index + 1}`}
                onClick={() => onChange({ ...fields, stages: stages.filter((one) => one !== stage) })}
              />
            )}
          </li>
        ))}
        <li>
          <span class="stage-mark" aria-hidden="true">
            {stages.length + 1}
          </span>
          <span class="muted">{text.everyone}</span>
          <Button
            isSmall
            icon={Plus}
            isDisabled={stages.length >= STAGES_MAX}
            onClick={() => onChange({ ...fields, stages: [...stages, newStage(stages)] })}
          >
            {text.addStage}
          </Button>
        </li>
      </ol>
      <div class="config-columns">
        <TextField
          type="number"
          label={text.hold}
          hint={text.holdHint}
          value={fields.holdSeconds}
          onInput={(holdSeconds) => onChange({ ...fields, holdSeconds })}
        />
        <TextField
          type="number"
          label={text.ackTimeout}
          value={fields.ackTimeoutSeconds}
          onInput={(ackTimeoutSeconds) => onChange({ ...fields, ackTimeoutSeconds })}
        />
        <SelectField
          label={text.onFailure}
          value={fields.onFailure}
          options={[
            ["rollback", text.onFailure_rollback],
            ["pause", text.onFailure_pause],
          ]}
          onChange={(onFailure) => onChange({ ...fields, onFailure })}
        />
      </div>
    </div>
  );
}

interface StageRowProps {
  readonly stage: StageFields;
  readonly onChange: (stage: StageFields) => void;
}

function StageRow({ stage, onChange }: StageRowProps) {
  const text = releaseText();
  const labels = { percent: text.percent, labels: text.labels, instances: text.instances };
  const hints = { percent: "", labels: text.labelsHint, instances: text.instancesHint };
  return (
    <div class="config-stage">
      <SelectField
        label={text.selectBy}
        value={stage.by}
        options={KINDS.map((by) => [by, text[`by_${by}`]] as const)}
        onChange={(by) => onChange({ ...stage, by })}
      />
      <TextField
        label={labels[stage.by]}
        hint={hints[stage.by]}
        type={stage.by === "percent" ? "number" : "text"}
        value={stage[stage.by]}
        onInput={(value) => onChange({ ...stage, [stage.by]: value })}
      />
    </div>
  );
}
