/** The limits of the sidecar, each with its unit and its reason. */

/** Connections of one listener at once, those in their handshake included. Each needs two sockets and their buffers. */
export const CONNECTIONS_MAX = 8_192;
/** Milliseconds for a TLS handshake. A caller that sends nothing must not keep its place for longer. */
export const HANDSHAKE_MS_MAX = 10_000;
/** Milliseconds for a connection to the service itself, which is on this host. */
export const LOCAL_CONNECT_MS_MAX = 2_000;
/** Milliseconds for a connection to one ingress, with TLS and its admission. Then another one is tried. */
export const CONNECT_MS_MAX = 3_000;
/** Milliseconds until a caller of an upstream is refused, over all ingresses that were tried. */
export const DIAL_MS_MAX = 10_000;
/** Milliseconds for which a connection may be silent in both directions. Long polls and WebSockets send more often. */
export const IDLE_MS_MAX = 3_600_000;
/** Milliseconds without progress for a connection with bytes that its reader does not take, or with one side ended. */
export const STALLED_MS_MAX = 300_000;
/** Milliseconds between two looks for silent connections. */
export const SWEEP_MS = 5_000;
/** Milliseconds until a listener that could not open its port tries again. */
export const LISTEN_RETRY_MS = 5_000;
/** Milliseconds between two log lines about refusals of one caller for one reason, since each of its connections would have one. */
export const REFUSAL_LOG_MS = 10_000;
/** Callers and reasons that are remembered for that. */
export const REFUSALS_KEPT_MAX = 1_000;
/** The latest denials that are kept for people. */
export const DENIALS_KEPT_MAX = 100;
/** Pairs of callers and services whose denials are counted for people. Beyond them, only the metrics count. */
export const PAIRS_MAX = 1_000;
