/** Reading an effective config: the query fields that the config server and the agent have in common. */
import { Type } from "typebox";

/** Seconds that a long poll may wait: less than the minute after which proxies close an idle request. */
const WAIT_SECONDS_MAX = 50;

/** Query fields of a long poll for an effective config. */
export const WaitQuery = {
  wait: Type.Optional(
    Type.Number({ minimum: 0, maximum: WAIT_SECONDS_MAX, description: "Seconds to wait for different content." }),
  ),
};
