/** The services that a watch of a namespace shows. */
import { maySee, type Principal, sharedFilter, type TopicFilter } from "#http";
import { serviceOfTopic } from "./topics.ts";

const READ = "registry:read";

/** Undefined: the principal sees every service of a namespace that it sees at all. */
export function visibleServices(principal: Principal): TopicFilter | undefined {
  if (!principal.rights.looksAt(READ, "service")) return undefined;
  // The first topic of a change is that of its service.
  return sharedFilter(
    principal,
    READ,
    () =>
      ([topic = ""]) =>
        maySee(principal, READ, serviceOfTopic(topic)),
  );
}
