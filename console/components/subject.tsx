/** What a change or a problem is about, as a link to its page. */
import type { Subject } from "#timeline/api";
import { linkTo } from "../data/location.ts";

/** The place of a subject within the console. */
export function subjectHref({ type, namespace, service, instance, app, profile }: Subject): string {
  const within = namespace === undefined ? {} : { namespace };
  if (service !== undefined) {
    const chosen: Readonly<Record<string, string>> = instance === undefined ? within : { ...within, instance };
    return linkTo(`/services/${encodeURIComponent(service)}`, chosen);
  }
  if (type === "set") return linkTo(`/config/${namespace}/${app}/${profile}`, within);
  if (type === "token") return linkTo("/access");
  return linkTo("/system");
}

export function subjectName({ type, service, instance, app, profile, name }: Subject): string {
  if (service !== undefined)
    return instance === undefined || instance === service ? service : `${service} / ${instance}`;
  if (app !== undefined) return profile === undefined || profile === "default" ? app : `${app} / ${profile}`;
  return name ?? type;
}

export function SubjectLink({ of }: { readonly of: Subject }) {
  return (
    <a class="subject" href={subjectHref(of)}>
      {subjectName(of)}
    </a>
  );
}
