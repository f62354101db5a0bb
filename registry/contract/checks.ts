/** The part of the registry's wire contract that states checks. The agent's contract is built on the same shapes. */
import { Type, type Static } from "typebox";

/** Checks of one instance: each costs a probe and a key. */
export const CHECKS_PER_INSTANCE_MAX = 16;

export const Id = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
  description: "Letters, digits, dot, underscore and dash; at most 128 characters.",
});

export const CheckStatus = Type.Union(
  [Type.Literal("passing"), Type.Literal("warning"), Type.Literal("critical"), Type.Literal("unknown")],
  { description: "The verdict on a check. unknown: it has not been probed yet." },
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

/** Characters of a text that is sent to a target, or searched for in the first 4 KiB of its response. */
const TEXT_CHARS_MAX = 4096;
const HEADERS_MAX = 32;
const ARGS_MAX = 64;
/** Characters of authorities in PEM: a few certificates. */
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
      description:
        "Seconds that the check may stay critical without a break before the servers deregister the instance.",
    }),
  ),
};

/** How a probed check is judged. */
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
    Type.Integer({
      minimum: 1,
      maximum: 300_000,
      description: "Milliseconds. A successful probe that takes longer is a warning.",
    }),
  ),
  damping: Type.Optional(
    Type.Union([Damping, Type.Literal(false)], {
      description:
        "Holds a flapping check critical for a while, by a penalty counted in turns to critical (RFC 2439). false: no damping.",
    }),
  ),
  ...DeregisterAfter,
};

const Host = Type.String({
  minLength: 1,
  maxLength: 253,
  pattern: "^[A-Za-z0-9.:_-]+$",
  description: "IP address or host name. Absent: the instance's own address.",
});
const Port = Type.Integer({ minimum: 1, maximum: 65_535, description: "Absent: the instance's own port." });
const At = { host: Type.Optional(Host), port: Type.Optional(Port) };
const Text = (description: string) => Type.String({ minLength: 1, maxLength: TEXT_CHARS_MAX, description });

export const Tls = Type.Object(
  {
    serverName: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 253,
        description: "The name to request and to verify, instead of the host's name.",
      }),
    ),
    ca: Type.Optional(
      Type.String({
        maxLength: PEM_CHARS_MAX,
        pattern: "-----BEGIN CERTIFICATE-----",
        description: "Authorities to trust instead of the system's, in PEM.",
      }),
    ),
    skipVerify: Type.Optional(
      Type.Boolean({ default: false, description: "Accepts any certificate. Each such check logs a warning." }),
    ),
  },
  { additionalProperties: false },
);

export const TtlCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("ttl"),
    ttlSeconds: Type.Integer({
      minimum: 1,
      maximum: 86_400,
      description: "Seconds without a report after which the check is critical.",
    }),
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
      Type.String({
        pattern: "^/",
        maxLength: 2048,
        description: "A path on the instance itself; an alternative to url.",
      }),
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
        { maxProperties: HEADERS_MAX, description: "Stored unencrypted, and never returned." },
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
          description:
            'Status codes that pass: numbers, and ranges such as "200-299". Absent: 2xx passes, and 429 is a warning.',
        },
      ),
    ),
    bodyContains: Type.Optional(Text("Text that the first 4 KiB of the response must contain.")),
    bodyPattern: Type.Optional(
      Text("Pattern for the whole of the response's first 4 KiB, in which `*` matches any text."),
    ),
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
    send: Type.Optional(Text("Sent once the connection is established.")),
    expect: Type.Optional(Text("Text that the first 4 KiB of the response must contain.")),
    tls: Type.Optional(
      Type.Union([Tls, Type.Boolean()], {
        description: "Absent: TLS with its defaults if the instance's protocol uses TLS.",
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
    send: Text("The datagram to send."),
    expect: Type.Optional(
      Text("Text that a response must contain. Absent: no response passes, and only an ICMP error is critical."),
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
      Type.String({
        maxLength: 256,
        default: "",
        description: "Service name of grpc.health.v1. Empty: the whole server.",
      }),
    ),
    watch: Type.Optional(
      Type.Boolean({
        default: false,
        description: "Keeps a Watch call open and receives changes at once, instead of calling Check for each probe.",
      }),
    ),
    tls: Type.Optional(
      Type.Union([Tls, Type.Boolean()], {
        description: "Absent: TLS with its defaults if the instance's protocol uses TLS.",
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
      description: "Absolute path, which must be listed in the agent's setting agentExecAllow.",
    }),
    args: Type.Optional(
      Type.Array(Type.String({ maxLength: TEXT_CHARS_MAX, pattern: "^[^\\x00]*$" }), {
        maxItems: ARGS_MAX,
        default: [],
        description: "Arguments, passed unchanged and without a shell.",
      }),
    ),
    ...Judging,
  },
  {
    additionalProperties: false,
    description: "Only on an agent. Exit code 0 passes, 1 is a warning, anything else is critical.",
  },
);

export const ProcessCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("process"),
    pid: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 22 })),
    pidFile: Type.Optional(
      Type.String({
        pattern: "^/",
        maxLength: 4096,
        description: "Absolute path of a file that contains the process ID; an alternative to pid.",
      }),
    ),
    ...Judging,
  },
  { additionalProperties: false, description: "Only on an agent. Passing while the process is alive." },
);

export const AliasCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("alias"),
    namespace: Type.Optional(
      Type.String({
        pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description: "Absent: the instance's own namespace.",
      }),
    ),
    service: Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" }),
    instance: Type.Optional(Id),
    ...DeregisterAfter,
  },
  {
    additionalProperties: false,
    description: "Takes the status of another instance, or of the best serving instance of another service.",
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
/** Kinds that look at a host from within, so only its agent can run them. */
export const AGENT_ONLY_CHECKS: ReadonlySet<CheckType> = new Set<CheckType>(["exec", "process"]);

export type Check = { [Kind in CheckType]: Static<(typeof CHECK_KINDS)[Kind]> }[CheckType];
/** The type selects the shape, so that a problem is reported for that shape and not for the first one. */
export const Check = Type.Unsafe<Check>({
  type: "object",
  description: "How an instance's health is judged.",
  required: ["type"],
  discriminator: { propertyName: "type" },
  oneOf: Object.values(CHECK_KINDS),
});
