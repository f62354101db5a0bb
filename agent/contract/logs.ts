/** The part of the agent's contract that is about logs of services: which files the agent reads. */
import { Type, type Static } from "typebox";

/** Entries of one service; each costs a look at the file system every 200 ms. */
const SOURCES_PER_SERVICE_MAX = 16;

export const LogSource = Type.Object(
  {
    file: Type.String({
      minLength: 2,
      maxLength: 4096,
      pattern: "^/(?:[^*]*/)?[^/]+$",
      description: "Absolute path of the log file. Its last part may contain `*`, which means any characters.",
    }),
  },
  { additionalProperties: false },
);
export type LogSource = Static<typeof LogSource>;

export const LogSources = Type.Array(LogSource, {
  maxItems: SOURCES_PER_SERVICE_MAX,
  description: "Log files of the service, which the agent collects.",
});
