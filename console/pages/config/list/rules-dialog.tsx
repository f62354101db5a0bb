/** The rules of an environment: whether releases need a review, and their limits. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Rules } from "#config-server/api";
import { ActionDialog } from "../../../components/dialog.tsx";
import { SelectField, TextField } from "../../../components/field.tsx";
import { Problem, Skeleton } from "../../../components/states.tsx";
import { ApiProblem, callApi } from "../../../data/api.ts";
import { cliOf, namespaceWords } from "../../../data/commands.ts";
import { commonText } from "../../../text/common.ts";
import { configText } from "../text.ts";

interface RulesDialogProps {
  readonly namespace: string;
  readonly onClose: () => void;
}

const LIMITS = ["keys", "valueBytes", "releaseBytes"] as const;
type LimitName = (typeof LIMITS)[number];
type Limits = Readonly<Partial<Record<LimitName, string>>>;

export function RulesDialog({ namespace, onClose }: RulesDialogProps) {
  const text = configText();
  const path = `/v1/config/${encodeURIComponent(namespace)}/rules`;
  const etag = useSignal("");
  const problem = useSignal<ApiProblem | undefined>(undefined);
  const review = useSignal<Rules["review"] | undefined>(undefined);
  const limits = useSignal<Limits>({});
  useEffect(() => {
    const load = async () => {
      const { data, headers } = await callApi<Rules>({ path });
      etag.value = headers.get("etag") ?? "";
      review.value = data.review;
      limits.value = Object.fromEntries(
        Object.entries(data.limits ?? {}).map(([name, value]) => [name, String(value)]),
      );
    };
    load().catch((error: unknown) => (problem.value = error instanceof ApiProblem ? error : new ApiProblem(0, {})));
  }, [path]);
  const given = LIMITS.filter((name) => (limits.value[name] ?? "") !== "");
  const isValid = given.every((name) => isLimit(limits.value[name]));
  return (
    <ActionDialog
      title={text.rulesOf(namespace)}
      confirm={commonText().save}
      needs="config:rules"
      isReady={isValid && review.value !== undefined}
      done={text.rulesSaved}
      call={{
        method: "PUT",
        path,
        headers: { "if-match": etag.value },
        body: {
          review: review.value,
          ...(given.length === 0
            ? {}
            : { limits: Object.fromEntries(given.map((name) => [name, Number(limits.value[name])])) }),
        },
      }}
      cli={review.value && rulesCommand({ namespace, review: review.value, limits: limits.value, etag: etag.value })}
      onClose={onClose}
    >
      <p class="muted">{text.rulesLead}</p>
      {problem.value && <Problem problem={problem.value} />}
      {review.value === undefined ? (
        !problem.value && <Skeleton rows={4} />
      ) : (
        <>
          <SelectField
            label={text.review}
            value={review.value}
            options={[
              ["optional", text.reviewOptionalLong],
              ["required", text.reviewRequiredLong],
            ]}
            onChange={(next) => (review.value = next)}
          />
          <LimitFields limits={limits.value} onChange={(next) => (limits.value = next)} />
        </>
      )}
    </ActionDialog>
  );
}

interface RulesWords {
  readonly namespace: string;
  readonly review: Rules["review"];
  readonly limits: Limits;
  readonly etag: string;
}

function rulesCommand({ namespace, review, limits, etag }: RulesWords): string {
  return cliOf(
    "config",
    "rules",
    "set",
    ...namespaceWords(namespace),
    "--review",
    review,
    "--keys",
    limits.keys || "none",
    "--value-bytes",
    limits.valueBytes || "none",
    "--release-bytes",
    limits.releaseBytes || "none",
    "--cas",
    etag.replaceAll('"', ""),
  );
}

interface LimitFieldsProps {
  readonly limits: Limits;
  readonly onChange: (limits: Limits) => void;
}

function LimitFields({ limits, onChange }: LimitFieldsProps) {
  const text = configText();
  const labels: Record<LimitName, string> = {
    keys: text.limitKeys,
    valueBytes: text.limitValue,
    releaseBytes: text.limitRelease,
  };
  return (
    <>
      {LIMITS.map((name) => (
        <TextField
          key={name}
          type="number"
          label={labels[name]}
          value={limits[name] ?? ""}
          hint={text.limitHint}
          error={isLimit(limits[name]) ? undefined : text.limitInvalid}
          onInput={(value) => onChange({ ...limits, [name]: value })}
        />
      ))}
    </>
  );
}

function isLimit(text = ""): boolean {
  return text === "" || (Number.isInteger(Number(text)) && Number(text) > 0);
}
