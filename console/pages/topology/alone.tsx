/** Services that neither call nor are called. */
import type { ServiceSummary } from "#registry/api";
import { Card } from "../../components/layout.tsx";
import { SERVICE_TONES, serviceStateText } from "../../components/service-state.tsx";
import { linkTo } from "../../data/location.ts";
import { serviceState } from "../../data/services.ts";
import { topologyText } from "./text.ts";

/** Names that are shown; the list of services has all. */
const SHOWN_MAX = 60;

export function Alone({ services }: { readonly services: readonly ServiceSummary[] }) {
  const text = topologyText();
  return (
    <Card title={text.alone(services.length)}>
      <p class="muted">{text.aloneText}</p>
      <ul class="alone">
        {services.slice(0, SHOWN_MAX).map((summary) => {
          const state = serviceState(summary);
          return (
            <li key={summary.service}>
              <a
                class={`alone-service ${SERVICE_TONES[state]}`}
                href={linkTo(`/services/${summary.service}`)}
                title={`${summary.service}: ${serviceStateText()[state]}`}
              >
                <span class="truncate">{summary.service}</span>
                <span class="muted">{serviceStateText()[state]}</span>
              </a>
            </li>
          );
        })}
        {services.length > SHOWN_MAX && (
          <li>
            <a href={linkTo("/services")}>…</a>
          </li>
        )}
      </ul>
    </Card>
  );
}
