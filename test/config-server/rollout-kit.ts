/** Instances that follow a config by the shipped client, apply or refuse what they receive, and remember all of it. */
import type { Client, Instance } from "#client";
import type { EffectiveConfig, RolloutRequest, RolloutView, SetName } from "#config-server/api";
import { eventually, type TestControl } from "#test/kit";

export const SET = { namespace: "default", app: "orders", profile: "default" };

/** Two values that each release sets alike: who sees them differ sees a mix. */
export const items = (value: string) => ({
  "a.txt": { format: "text" as const, value },
  "b.txt": { format: "text" as const, value },
});

export class FollowerInstance implements AsyncDisposable {
  /** All contents that it received, in order. */
  readonly told: EffectiveConfig[] = [];
  /** Its verdict on a value: undefined, or the reason why it cannot be applied. */
  refuses: (value: string) => string | undefined = () => undefined;
  /** Says nothing at all. */
  mute = false;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(client: Client, instance: Instance, name: SetName = SET) {
    const { signal } = this.#stop;
    const say = client.config.acknowledger(name, instance, signal);
    this.#done = (async () => {
      for await (const { data } of client.config.watch(name, { signal, instance })) {
        if (!data || data.revision === 0 || data.releaseKey === this.told.at(-1)?.releaseKey) continue;
        this.told.push(data);
        if (this.mute) continue;
        say(data, this.refuses(this.value));
      }
    })();
  }

  get value(): string {
    return this.told.at(-1)?.items["a.txt"]?.value ?? "";
  }

  get values(): string[] {
    return this.told.map(({ items }) => items["a.txt"]?.value ?? "");
  }

  /** Contents in which the two values differ. */
  get mixes(): EffectiveConfig[] {
    return this.told.filter(({ items }) => items["a.txt"]?.value !== items["b.txt"]?.value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("stopping"));
    await this.#done;
  }
}

export interface Fleet extends AsyncDisposable {
  readonly instances: readonly FollowerInstance[];
  readonly values: () => string;
}

/** So many instances, web-0 on; each with its number as label `n`, the first half in zone eu, the others in us. */
export async function fleet(control: Pick<TestControl, "client">, count: number, name = SET): Promise<Fleet> {
  const stack = new AsyncDisposableStack();
  const instances = Array.from({ length: count }, (_, n) =>
    stack.use(
      new FollowerInstance(
        control.client,
        { id: `web-${n}`, labels: { n: String(n), zone: n < count / 2 ? "eu" : "us" } },
        name,
      ),
    ),
  );
  return {
    instances,
    values: () => instances.map(({ value }) => value).join(","),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** The first release, live, and every instance known to run it. */
export async function settled(control: Pick<TestControl, "client">, fleet: Fleet, name = SET): Promise<void> {
  await control.client.config.publish(name, { items: items("one") });
  await eventually("all run the first release", async () => {
    const { applied, subscribers } = await control.client.config.acknowledgements(name);
    return applied === fleet.instances.length && subscribers.every(({ present }) => present);
  });
}

export const begin = (control: Pick<TestControl, "client">, value: string, rollout: RolloutRequest, name = SET) =>
  control.client.config.publish(name, { items: items(value), reason: `to ${value}`, rollout });

/** The rollout of a version once it has ended. */
export const ended = (control: Pick<TestControl, "client">, version: number, name = SET): Promise<RolloutView> =>
  eventually(`the rollout of ${version} has ended`, async () => {
    const { rollouts } = await control.client.config.rollouts(name);
    return rollouts.find((one) => one.version === version && one.endedAt !== undefined);
  });

/** A gate that is quick. */
export const QUICK = { holdSeconds: 0.1, ackTimeoutSeconds: 5 };
