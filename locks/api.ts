/**
 * The wire contract of locks: shapes, limits and LOCKS_ codes. Pure, and importable by every module.
 *
 * A lock is a name that one session at a time holds. Other sessions that ask for it queue in the order of their requests.
 * The lock and the places in the queue are attached to their sessions and are removed when these lapse. A holder that
 * lapsed may still be at work, so the lock then stays unavailable for its delay. Since even that proves nothing about a
 * paused process, each acquisition has a token larger than all earlier ones, by which the resource itself can reject a
 * late holder.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

/** Bytes of a value in UTF-8: an address or a few words, for people and for clients that follow an election. */
export const LOCK_VALUE_BYTES_MAX = 4096;
/** Characters and segments of a name: it stays one short key in the store and one line for people. */
export const LOCK_NAME_CHARS_MAX = 200;
export const LOCK_SEGMENTS_MAX = 8;
/** Seconds that a lock stays unavailable after its holder lapsed: the default and the maximum, both as in Consul. */
export const LOCK_DELAY_SECONDS = 15;
export const LOCK_DELAY_SECONDS_MAX = 60;
/** Seconds that a call may wait: shorter than the timeouts of proxies that are set up for it. */
export const LOCK_WAIT_SECONDS_MAX = 60;
/** Sessions in one queue. Ten thousand is a fleet; more is a client that opens sessions in a loop. */
export const LOCK_WAITERS_MAX = 10_000;
/** Waiters that a response lists. Their total number is always included. */
export const LOCK_WAITERS_SHOWN = 100;
export const LOCK_PAGE_MAX = 1000;
export const LOCK_PAGE = 100;
/** Seconds that the record of a broken lock is kept: a week to find out what happened. */
export const LOCK_BREAK_SECONDS = 7 * 86_400;

const SEGMENT = "[A-Za-z0-9_][A-Za-z0-9._-]{0,63}";
export const LockName = Type.String({
  minLength: 1,
  maxLength: LOCK_NAME_CHARS_MAX,
  pattern: `^${SEGMENT}(/${SEGMENT}){0,${LOCK_SEGMENTS_MAX - 1}}$`,
  description:
    "Segments of letters, digits, dot, underscore and dash (64 at most), joined by slashes: `orders/leader`. In a path write %2F.",
});
export const LockNamespace = Type.String({
  pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
  default: "default",
  description: "A DNS label.",
});
export const LockSession = Type.String({
  pattern: "^[A-Za-z0-9-]{1,128}$",
  description: "The id of a session, from `POST /v1/sessions`.",
});
const Value = Type.String({
  maxLength: LOCK_VALUE_BYTES_MAX,
  description: "For people and for clients that follow an election, such as the leader's address. At most 4096 bytes.",
});
const Token = Type.Integer({
  description:
    "Fencing token: the revision of the acquisition, larger than all earlier tokens. " +
    "A resource rejects tokens below the largest that it has seen.",
});
const Since = Type.String({ format: "date-time" });
const Delay = Type.Integer({ description: "Seconds that the lock stays unavailable if this holder lapses." });

export const LockRequest = Type.Object(
  {
    session: LockSession,
    value: Type.Optional(Value),
    lockDelaySeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: LOCK_DELAY_SECONDS_MAX,
        description: `Seconds that the lock stays unavailable if this session lapses while holding it; ${LOCK_DELAY_SECONDS} by default. Fixed when the lock is acquired.`,
      }),
    ),
    waitSeconds: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: LOCK_WAIT_SECONDS_MAX,
        default: 0,
        description: "Seconds to wait for the lock. The response is sent as soon as the session has it.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type LockRequest = Static<typeof LockRequest>;

export const LockHolder = Type.Object({
  session: Type.String(),
  value: Type.Optional(Type.String()),
  token: Token,
  since: Since,
  lockDelaySeconds: Delay,
});
export type LockHolder = Static<typeof LockHolder>;

/** The state of a lock that its watchers receive: everything but the queue. */
const state = {
  namespace: Type.String(),
  name: Type.String(),
  holder: Type.Optional(LockHolder),
  delayedUntil: Type.Optional(
    Type.String({
      format: "date-time",
      description:
        "The holder ended without a release, and no session acquires the lock before this time. " +
        "Measured by this member; another member may have seen the end earlier.",
    }),
  ),
};
export const LockState = Type.Object(state);
export type LockState = Static<typeof LockState>;

/** `acquired: true` has the token, `acquired: false` the place in the queue. */
export const LockAnswer = Type.Object({
  ...state,
  acquired: Type.Boolean(),
  token: Type.Optional(Token),
  place: Type.Optional(Type.Integer({ minimum: 1, description: "Place in the queue; 1 is the next session." })),
  revision: Type.Integer(),
});
export type LockAnswer = Static<typeof LockAnswer>;

export const LockWaiter = Type.Object({
  session: Type.String(),
  value: Type.Optional(Type.String()),
  since: Since,
});
export type LockWaiter = Static<typeof LockWaiter>;

export const LockBroken = Type.Object({
  by: Type.String({ description: "Name of the principal that broke the lock." }),
  reason: Type.String(),
  session: Type.String({ description: "The session that the lock was taken from." }),
  token: Type.Integer(),
  at: Since,
});
export type LockBroken = Static<typeof LockBroken>;

/** A lock as operators see it. Without a holder and a queue, it has only a namespace and a name. */
export const Lock = Type.Object({
  ...state,
  revision: Type.Integer({ description: "Revision up to which this response includes all changes of all locks." }),
  waiting: Type.Integer({ description: "Sessions in the queue." }),
  waiters: Type.Array(LockWaiter, {
    description: `The first ${LOCK_WAITERS_SHOWN} waiters, in the order of the queue.`,
  }),
  broken: Type.Optional(LockBroken),
});
export type Lock = Static<typeof Lock>;

export const LockSummary = Type.Object({ ...state, waiting: Type.Integer() });
export type LockSummary = Static<typeof LockSummary>;
export const LockList = Type.Object({
  revision: Type.Integer(),
  locks: Type.Array(LockSummary, { description: "In order of name." }),
  next: Type.Optional(
    Type.String({ description: "Set when there are more: pass it as `after` to get the next page." }),
  ),
});
export type LockList = Static<typeof LockList>;

export const LockReleased = Type.Object({
  was: Type.Union([Type.Literal("holder"), Type.Literal("waiter")], {
    description: "Whether this session held the lock or waited for it.",
  }),
  revision: Type.Integer(),
});
export type LockReleased = Static<typeof LockReleased>;

export const LockBreak = Type.Object(
  { reason: Type.String({ minLength: 1, maxLength: 500, description: "The reason, for the record." }) },
  { additionalProperties: false },
);
export type LockBreak = Static<typeof LockBreak>;
export const LockWasBroken = Type.Object({ revision: Type.Integer(), broken: LockBroken });
export type LockWasBroken = Static<typeof LockWasBroken>;

export interface LockRef {
  readonly namespace: string;
  readonly name: string;
}

export const LocksErrors = defineErrors("LOCKS", {
  NOT_HELD: { status: 409, title: "Lock not held by this session" },
  QUEUE_FULL: { status: 409, title: "Too many sessions wait for a lock" },
  SESSION_NOT_FOUND: { status: 404, title: "Session not found" },
  VALUE_TOO_LARGE: { status: 400, title: "Value too large" },
  BEHIND: { status: 503, title: "Revision not seen yet" },
});
