/**
 * The part of the registry's wire contract that is about health: how a check is stated, what is reported and what is
 * seen of it. The agent's contract is built on the same shapes.
 */
import { Type, type Static } from "typebox";

/** Checks of one instance: each costs a probe and a key. */
export const CHECKS_PER_INSTANCE_MAX = 16;

export const Id = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
  description: "Letters, digits, dot, underscore and dash; at most 128.",
});

export const CheckStatus = Type.Union(
  [Type.Literal("passing"), Type.Literal("warning"), Type.Literal("critical"), Type.Literal("unknown")],
  { description: "The verdict on a check. unknown: never judged yet." },
);
export type CheckStatus = Static<typeof CheckStatus>;

/** How a probed check is judged when it does not say. */
export const JUDGING_DEFAULTS = {
  intervalSeconds: 10,
  timeoutSeconds: 5,
  initialDelaySeconds: 0,
  rise: 1,
  fall: 3,
} as const;

/**
 * How a flapping check is damped when it does not say: four turns to critical within a short time hold it for four minutes.
 * A check that turns critical once a minute indefinitely stays just below that, and neither a rolling restart nor three
 * failed starts in a row count as flapping.
 */
export const DAMPING_DEFAULTS = { halfLifeSeconds: 120, suppress: 3.5, reuse: 1, holdSecondsMax: 600 } as const;

/** Characters of what is sent to a target and of what is looked for in its answer: an answer's start is 4 KiB. */
const TEXT_CHARS_MAX = 4096;
const HEADERS_MAX = 32;
const ARGS_MAX = 64;
/** Characters of authorities in PEM: a handful. */
const PEM_CHARS_MAX = 32 * 1024;

export const Damping = Type.Object(
  {
    halfLifeSeconds: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: 86_400,
        default: DAMPING_DEFAULTS.halfLifeSeconds,
        description: "Seconds in which the penalty falls by half.",
      }),
    ),
    suppress: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: 1000,
        default: DAMPING_DEFAULTS.suppress,
        description: "Penalty, in turns, above which the check is held critical.",
      }),
    ),
    reuse: Type.Optional(
      Type.Number({
        minimum: 0.1,
        maximum: 1000,
        default: DAMPING_DEFAULTS.reuse,
        description: "Penalty below which the check is released.",
      }),
    ),
    holdSecondsMax: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: 86_400,
        default: DAMPING_DEFAULTS.holdSecondsMax,
        description: "Longest hold, in seconds after the latest turn.",
      }),
    ),
  },
  { additionalProperties: false },
);

const DeregisterAfter = {
  deregisterAfterSeconds: Type.Optional(
    Type.Integer({
      minimum: 10,
      maximum: 30 * 86_400,
      description: "Critical for so long without a break, its instance is deregistered by the server.",
    }),
  ),
};

/** How each check that is probed is judged. */
const Judging = {
  intervalSeconds: Type.Optional(
    Type.Number({ minimum: 0.1, maximum: 86_400, default: JUDGING_DEFAULTS.intervalSeconds }),
  ),
  timeoutSeconds: Type.Optional(Type.Number({ minimum: 0.05, maximum: 300, default: JUDGING_DEFAULTS.timeoutSeconds })),
  initialDelaySeconds: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: 3600,
      default: JUDGING_DEFAULTS.initialDelaySeconds,
      description: "Seconds before the first probe. Until then the status is unknown.",
    }),
  ),
  rise: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100,
      default: JUDGING_DEFAULTS.rise,
      description: "Successful probes in a row that turn the check passing.",
    }),
  ),
  fall: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100,
      default: JUDGING_DEFAULTS.fall,
      description: "Failed probes in a row that turn the check critical.",
    }),
  ),
  warnAfterMs: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 300_000, description: "A good answer that took longer is a warning." }),
  ),
  damping: Type.Optional(
    Type.Union([Damping, Type.Literal(false)], {
      description: "What flaps is held critical for a while (RFC 2439), counted in turns to critical. false: never.",
    }),
  ),
  ...DeregisterAfter,
};

const Host = Type.String({
  minLength: 1,
  maxLength: 253,
  pattern: "^[A-Za-z0-9.:_-]+$",
  description: "IP address or host name; absent: the instance's own.",
});
const Port = Type.Integer({ minimum: 1, maximum: 65_535, description: "Absent: the instance's own." });
const At = { host: Type.Optional(Host), port: Type.Optional(Port) };
const Text = (description: string) => Type.String({ minLength: 1, maxLength: TEXT_CHARS_MAX, description });

export const Tls = Type.Object(
  {
    serverName: Type.Optional(
      Type.String({ minLength: 1, maxLength: 253, description: "Asked for and verified instead of the host's name." }),
    ),
    ca: Type.Optional(
      Type.String({
        maxLength: PEM_CHARS_MAX,
        pattern: "-----BEGIN CERTIFICATE-----",
        description: "Authorities to trust instead of the system's, in PEM.",
      }),
    ),
    skipVerify: Type.Optional(
      Type.Boolean({ default: false, description: "Takes any certificate. Each such check is warned of in the log." }),
    ),
  },
  { additionalProperties: false },
);

export const TtlCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("ttl"),
    ttlSeconds: Type.Integer({ minimum: 1, maximum: 86_400, description: "Critical when not reported for so long." }),
    ...DeregisterAfter,
  },
  { additionalProperties: false },
);

export const HttpCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("http"),
    url: Type.Optional(Type.String({ format: "uri", pattern: "^https?://", maxLength: 2048 })),
    path: Type.Optional(
      Type.String({ pattern: "^/", maxLength: 2048, description: "Instead of url: on the instance itself." }),
    ),
    method: Type.Optional(
      Type.Union(
        (["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const).map((name) => Type.Literal(name)),
        { default: "GET" },
      ),
    ),
    headers: Type.Optional(
      Type.Record(
        Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$" }),
        Type.String({ maxLength: 2048, pattern: "^[\\t\\x20-\\x7e]*$" }),
        { maxProperties: HEADERS_MAX, description: "Kept in the store as they are, and shown nowhere." },
      ),
    ),
    body: Type.Optional(Text("Sent with the request.")),
    expectStatus: Type.Optional(
      Type.Array(
        Type.Union([
          Type.Integer({ minimum: 100, maximum: 599 }),
          Type.String({ pattern: "^[1-5][0-9]{2}-[1-5][0-9]{2}$" }),
        ]),
        {
          minItems: 1,
          maxItems: 32,
          description: 'Statuses that pass: numbers, and ranges such as "200-299". Absent: 2xx passes, 429 warns.',
        },
      ),
    ),
    bodyContains: Type.Optional(Text("Text that the first 4 KiB of the answer must hold.")),
    bodyPattern: Type.Optional(Text("All of the answer's first 4 KiB, where `*` stands for any text.")),
    tls: Type.Optional(Tls),
    ...Judging,
  },
  { additionalProperties: false },
);

export const TcpCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("tcp"),
    ...At,
    send: Type.Optional(Text("Sent once connected.")),
    expect: Type.Optional(Text("Text that the first 4 KiB of what it says must hold.")),
    tls: Type.Optional(
      Type.Union([Tls, Type.Boolean()], {
        description: "Absent: as the instance's protocol says, and then by default.",
      }),
    ),
    ...Judging,
  },
  { additionalProperties: false },
);

export const UdpCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("udp"),
    ...At,
    send: Text("The datagram sent."),
    expect: Type.Optional(
      Text("Text that an answer must hold. Absent: silence passes, and only a refusal (ICMP) is critical."),
    ),
    ...Judging,
  },
  { additionalProperties: false },
);

export const GrpcCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("grpc"),
    ...At,
    service: Type.Optional(
      Type.String({ maxLength: 256, default: "", description: "As grpc.health.v1 has it; empty: the whole server." }),
    ),
    watch: Type.Optional(
      Type.Boolean({
        default: false,
        description: "Keeps a Watch open and hears of changes at once, instead of asking with Check each time.",
      }),
    ),
    tls: Type.Optional(
      Type.Union([Tls, Type.Boolean()], {
        description: "Absent: as the instance's protocol says, and then by default.",
      }),
    ),
    ...Judging,
  },
  { additionalProperties: false },
);

export const ExecCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("exec"),
    program: Type.String({
      pattern: "^/",
      maxLength: 4096,
      description: "Absolute path, one that the agent's setting agentExecAllow names.",
    }),
    args: Type.Optional(
      Type.Array(Type.String({ maxLength: TEXT_CHARS_MAX, pattern: "^[^\\x00]*$" }), {
        maxItems: ARGS_MAX,
        default: [],
        description: "Given as they are: there is no shell.",
      }),
    ),
    ...Judging,
  },
  { additionalProperties: false, description: "By an agent only. Exit 0 passes, 1 warns, all else is critical." },
);

export const ProcessCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("process"),
    pid: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 22 })),
    pidFile: Type.Optional(
      Type.String({ pattern: "^/", maxLength: 4096, description: "Instead of pid: absolute path of a file with it." }),
    ),
    ...Judging,
  },
  { additionalProperties: false, description: "By an agent only. Passing while the process is alive." },
);

export const AliasCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("alias"),
    namespace: Type.Optional(
      Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description: "Absent: the instance's own." }),
    ),
    service: Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" }),
    instance: Type.Optional(Id),
    ...DeregisterAfter,
  },
  {
    additionalProperties: false,
    description: "The status of another instance, or of the best serving instance of another service, is its own.",
  },
);

export type TtlCheck = Static<typeof TtlCheck>;
export type HttpCheck = Static<typeof HttpCheck>;
export type Tls = Static<typeof Tls>;

/** The shape of each kind of check, by its type. */
export const CHECK_KINDS = {
  ttl: TtlCheck,
  http: HttpCheck,
  tcp: TcpCheck,
  udp: UdpCheck,
  grpc: GrpcCheck,
  exec: ExecCheck,
  process: ProcessCheck,
  alias: AliasCheck,
} as const;
export type CheckType = keyof typeof CHECK_KINDS;
/** Kinds that are about a host from within, so only its agent can run them. */
export const AGENT_ONLY_CHECKS: ReadonlySet<CheckType> = new Set<CheckType>(["exec", "process"]);

export type Check = { [Kind in CheckType]: Static<(typeof CHECK_KINDS)[Kind]> }[CheckType];
/** The type says which of the shapes holds, so that a mistake is told of that one and not of the first. */
export const Check = Type.Unsafe<Check>({
  type: "object",
  description: "How an instance's health is judged.",
  required: ["type"],
  discriminator: { propertyName: "type" },
  oneOf: Object.values(CHECK_KINDS),
});
