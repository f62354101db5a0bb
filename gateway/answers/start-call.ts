/** How a call starts: the seam between the steps that change answers and the upstream. */
import type { CallPlan, CallSink } from "../upstream/call-plan.ts";
import { type Transfer } from "../upstream/transfer.ts";

/** Starts a call. May call `sink` before it returns. */
export type StartCall = (plan: CallPlan, sink: CallSink) => Transfer;
