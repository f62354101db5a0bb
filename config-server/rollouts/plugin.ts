/** The routes of rollouts. They translate between HTTP and the driver, and decide nothing. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { BODY_BYTES, principalOf } from "#http";
import { ROLLOUT_ACTIONS, RolloutCommand, RolloutList, RolloutView, SetName, type RolloutAction } from "../api.ts";
import type { Rollouts } from "./driver.ts";

const SET = "/v1/config/:namespace/:app/:profile";
const SUMMARIES: Record<RolloutAction, string> = {
  pause: "Stay in this stage until resumed",
  resume: "Continue. Present failures and critical instances no longer count",
  promote: "Begin the next stage now, without waiting",
  complete: "Make the release live for every instance now, without waiting",
  abort: "Roll back",
};

export function rolloutsPlugin(untyped: FastifyInstance, rollouts: Rollouts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "config:read", perItem: true } as const;
  const publish = { action: "config:publish" } as const;
  const tags = ["config rollouts"];

  app.get(
    `${SET}/rollout`,
    {
      config: read,
      schema: {
        tags,
        summary: "The running rollout: its stage, what it waits for, and every instance",
        params: SetName,
        response: { 200: RolloutView },
      },
    },
    ({ params }) => rollouts.view(params),
  );

  app.get(
    `${SET}/rollouts`,
    {
      config: read,
      schema: {
        tags,
        summary: "Rollouts of a set, newest first",
        params: SetName,
        response: { 200: RolloutList },
      },
    },
    async ({ params }) => ({ rollouts: await rollouts.list(params) }),
  );

  for (const action of ROLLOUT_ACTIONS) {
    app.post(
      `${SET}/rollout/${action}`,
      {
        config: publish,
        bodyLimit: BODY_BYTES.command,
        schema: {
          tags,
          summary: SUMMARIES[action],
          params: SetName,
          body: RolloutCommand,
          response: { 200: RolloutView },
        },
      },
      (request) => {
        const { reason = "" } = request.body;
        return rollouts.command(request.params, action, { by: principalOf(request).name, reason });
      },
    );
  }
}
