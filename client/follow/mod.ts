/** The parts that the followers of configs share: the agent, the Node client and the command line. */
export { auditPauseMs, AUDIT_MS, configOtherThan } from "./audit.ts";
export { AcknowledgementOutbox } from "./outbox.ts";
export { isTransient } from "../transient.ts";
export { subscriberNameOf } from "./subscriber.ts";
