/** How a call begins: the seam between what acts on answers and the upstream. */
import type { CallPlan, CallSink } from "../upstream/call-plan.ts";
import { type Transfer } from "../upstream/transfer.ts";

/** Begins a call; `sink` may hear of it before this returns. */
export type StartCall = (plan: CallPlan, sink: CallSink) => Transfer;
