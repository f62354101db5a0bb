/**
 * The wire contract of locks: shapes, limits and LOCKS_ codes. Pure, and importable by every room.
 *
 * A lock is a name that one session at a time holds; whoever asks for it while another holds it stands in a queue, in
 * order of asking. Both live by their session: when it lapses, they are gone. A holder that lapsed may still be at work,
 * so the lock then rests for its delay; and since even that proves nothing about a paused process, each acquisition has
 * a token, larger than every one before, by which the resource itself can refuse who comes late.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

/** Bytes of a value in UTF-8: an address or a few words, read by people and by whoever follows an election. */
export const LOCK_VALUE_BYTES_MAX = 4096;
/** Characters of a name, and its segments: it stays one short key in the store and one line for people. */
export const LOCK_NAME_CHARS_MAX = 200;
export const LOCK_SEGMENTS_MAX = 8;
/** Seconds that a lock rests after its holder lapsed. Fifteen when nobody says, and sixty at most, as in Consul. */
export const LOCK_DELAY_SECONDS = 15;
export const LOCK_DELAY_SECONDS_MAX = 60;
/** Seconds that a call may wait; below what proxies that are told of it allow. */
export const LOCK_WAIT_SECONDS_MAX = 60;
/** Sessions in one queue. Ten thousand is a fleet; more is a loop that forgets to leave. */
export const LOCK_WAITERS_MAX = 10_000;
/** Waiters that an answer names; their number is told in full. */
export const LOCK_WAITERS_SHOWN = 100;
export const LOCK_PAGE_MAX = 1000;
export const LOCK_PAGE = 100;
/** Seconds that it is remembered who broke a lock and why: a week of asking what happened. */
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
  description: "For people and for those that follow an election, such as the leader's address. At most 4096 bytes.",
});
const Token = Type.Integer({
  description:
    "Fencing token: the revision of its acquisition, larger than all before. A resource refuses those below the largest it was shown.",
});
const Since = Type.String({ format: "date-time" });
const Delay = Type.Integer({ description: "Seconds that the lock rests should this holder lapse." });

export const LockRequest = Type.Object(
  {
    session: LockSession,
    value: Type.Optional(Value),
    lockDelaySeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: LOCK_DELAY_SECONDS_MAX,
        description: `Seconds that the lock rests should this session lapse while it holds it; ${LOCK_DELAY_SECONDS} by default. Fixed when the lock is acquired.`,
      }),
    ),
    waitSeconds: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: LOCK_WAIT_SECONDS_MAX,
        default: 0,
        description: "Seconds to wait for one's turn; the answer comes as soon as it has.",
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

/** What changes for those that follow a lock: all but the queue. */
const state = {
  namespace: Type.String(),
  name: Type.String(),
  holder: Type.Optional(LockHolder),
  delayedUntil: Type.Optional(
    Type.String({
      format: "date-time",
      description:
        "The holder went without a release; nobody acquires it before. As this member counts: another may have seen it earlier.",
    }),
  ),
};
export const LockState = Type.Object(state);
export type LockState = Static<typeof LockState>;

/** `acquired: true` comes with the token; `acquired: false` with the place in the queue, 1 being the next. */
export const LockAnswer = Type.Object({
  ...state,
  acquired: Type.Boolean(),
  token: Type.Optional(Token),
  place: Type.Optional(Type.Integer({ minimum: 1, description: "In the queue; 1 is the next." })),
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
  by: Type.String({ description: "Whose token it was done with." }),
  reason: Type.String(),
  session: Type.String({ description: "That of the holder it was taken from." }),
  token: Type.Integer(),
  at: Since,
});
export type LockBroken = Static<typeof LockBroken>;

/** A lock as operators see it. One that nobody holds or waits for has a namespace and a name only. */
export const Lock = Type.Object({
  ...state,
  revision: Type.Integer({ description: "Up to which all changes of all locks are in this answer." }),
  waiting: Type.Integer({ description: "Sessions in the queue." }),
  waiters: Type.Array(LockWaiter, { description: `In their order, the first ${LOCK_WAITERS_SHOWN}.` }),
  broken: Type.Optional(LockBroken),
});
export type Lock = Static<typeof Lock>;

export const LockSummary = Type.Object({ ...state, waiting: Type.Integer() });
export type LockSummary = Static<typeof LockSummary>;
export const LockList = Type.Object({
  revision: Type.Integer(),
  locks: Type.Array(LockSummary, { description: "In order of name." }),
  next: Type.Optional(Type.String({ description: "There are more: ask with `after` this." })),
});
export type LockList = Static<typeof LockList>;

export const LockReleased = Type.Object({
  was: Type.Union([Type.Literal("holder"), Type.Literal("waiter")], { description: "What this session was before." }),
  revision: Type.Integer(),
});
export type LockReleased = Static<typeof LockReleased>;

export const LockBreak = Type.Object(
  { reason: Type.String({ minLength: 1, maxLength: 500, description: "Why, for those who ask later." }) },
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
  QUEUE_FULL: { status: 409, title: "Too many wait for a lock" },
  SESSION_NOT_FOUND: { status: 404, title: "Session not found" },
  VALUE_TOO_LARGE: { status: 400, title: "Value too large" },
  BEHIND: { status: 503, title: "Revision not seen yet" },
});
