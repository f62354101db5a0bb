/** Approves, rejects, withdraws or publishes a proposal. */
import { useSignal } from "@preact/signals";
import type { Proposal } from "#config-server/api";
import { ActionDialog } from "../../../components/dialog.tsx";
import { Segmented, TextField } from "../../../components/field.tsx";
import type { ApiCall } from "../../../data/api.ts";
import { cliOf, optionWords } from "../../../data/commands.ts";
import { FIRST_ROLLOUT, rolloutOf, rolloutWords } from "../core/rollout-plan.ts";
import { RolloutFields } from "../release/rollout-fields.tsx";
import { ReleaseNotes } from "../release/release-dialog.tsx";
import { releaseText } from "../release-text.ts";
import { reviewText } from "../review-text.ts";
import type { ConfigSet } from "../use-set.ts";
import { shownState } from "./proposal-list.tsx";

export type Decision = "approve" | "reject" | "withdraw" | "publish";

interface ProposalDecisionProps {
  readonly set: ConfigSet;
  readonly proposal: Proposal;
  readonly decision: Decision;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

export function ProposalDecision(props: ProposalDecisionProps) {
  return props.decision === "publish" ? <PublishDialog {...props} /> : <ReviewDialog {...props} />;
}

function pathOf(set: ConfigSet, { id }: Proposal): string {
  return `${set.path}/proposals/${id}`;
}

function ReviewDialog({ set, proposal, decision, onClose, onDone }: ProposalDecisionProps) {
  const text = reviewText();
  const comment = useSignal("");
  const path = pathOf(set, proposal);
  const isWithdrawal = decision === "withdraw";
  const words = {
    approve: [text.approveTitle, text.approve, ""],
    reject: [text.rejectTitle, text.reject, text.rejectText],
    withdraw: [text.withdrawTitle, text.withdraw, text.withdrawText],
    publish: ["", "", ""],
  }[decision];
  const call: ApiCall = isWithdrawal
    ? { method: "DELETE", path }
    : {
        method: "POST",
        path: `${path}/reviews`,
        body: { verdict: decision, ...(comment.value === "" ? {} : { comment: comment.value }) },
      };
  return (
    <ActionDialog
      title={words[0] ?? ""}
      confirm={words[1] ?? ""}
      isDangerous={decision !== "approve"}
      needs={isWithdrawal ? "config:draft" : "config:review"}
      call={call}
      cli={
        isWithdrawal
          ? cliOf("config", "proposals", "withdraw", set.id, proposal.id)
          : cliOf("config", "review", set.id, proposal.id, `--${decision}`, ...optionWords("--comment", comment.value))
      }
      done={isWithdrawal ? text.withdrawn : text.reviewed}
      onClose={onClose}
      onDone={onDone}
    >
      {words[2] !== "" && <p>{words[2]}</p>}
      {!isWithdrawal && (
        <TextField label={text.comment} lines={3} value={comment.value} onInput={(value) => (comment.value = value)} />
      )}
    </ActionDialog>
  );
}

function PublishDialog({ set, proposal, onClose, onDone }: ProposalDecisionProps) {
  const text = reviewText();
  const release = releaseText();
  const how = useSignal<"once" | "stages">("once");
  const fields = useSignal(FIRST_ROLLOUT);
  const isEmergency = useSignal(false);
  const rollout = how.value === "stages" ? rolloutOf(fields.value) : undefined;
  const isApproved = shownState(proposal) === "approved";
  const isBlocked = (set.needsReview && !isApproved) || set.summary?.rollout !== undefined;
  const shownSet = isApproved ? { ...set, needsReview: false } : set;
  return (
    <ActionDialog
      title={text.publishTitle}
      confirm={how.value === "stages" ? release.start : release.release}
      width="44rem"
      needs="config:publish"
      isReady={(!isBlocked || isEmergency.value) && (how.value === "once" || rollout !== undefined)}
      call={{
        method: "POST",
        path: `${pathOf(set, proposal)}/publish`,
        body: { ...(isEmergency.value ? { emergency: true } : {}), ...(rollout ? { rollout } : {}) },
      }}
      cli={cliOf(
        "config",
        "publish",
        set.id,
        proposal.id,
        ...(isEmergency.value ? ["--emergency"] : []),
        ...(rollout ? rolloutWords(rollout) : []),
      )}
      done={how.value === "stages" ? release.started : release.released}
      onClose={onClose}
      onDone={onDone}
    >
      <p>{text.publishText}</p>
      <ReleaseNotes set={shownSet} isEmergency={isEmergency.value} onEmergency={(isOn) => (isEmergency.value = isOn)} />
      {set.summary && (
        <Segmented
          label={release.how}
          value={how.value}
          options={[
            ["once", release.atOnce],
            ["stages", release.gradual],
          ]}
          onChange={(next) => (how.value = next)}
        />
      )}
      {how.value === "stages" && <RolloutFields fields={fields.value} onChange={(next) => (fields.value = next)} />}
    </ActionDialog>
  );
}
