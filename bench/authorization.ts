/**
 * The cost of authorization: a decision of a caller with 1, 100 and 1,000 policies, all that it adds to a request, and the fan-out of a
 * watch whose readers see different services. In one process, without sockets, so that nothing else is measured.
 */
import { EventEmitter } from "node:events";
import type { FastifyReply, FastifyRequest, RouteOptions } from "fastify";
import { type Policy, Rights } from "#authorization";
import { systemHost } from "#base/system";
import { type Principal, requireAllowed, WatchHub } from "#http";
import { fieldsOf, resourcePlan, resourcesOf } from "../kernel/http/route-resources.ts";
import { visibleServices } from "../registry/visible-services.ts";
import { topicsOf } from "../registry/topics.ts";
import { round, spread } from "./kit.ts";

const POLICIES = [1, 100, 1_000];
/** Different resources that a caller asks for, again and again: services of a large fleet. */
const RESOURCES = 2_000;
const BATCH = 20_000;
const BATCHES = 30;
const SUBSCRIBERS = 10_000;
const EVENTS = 60;
/** The mark: microseconds of CPU that authorization adds to a request at 1,000 policies. */
const MICROS_MAX = 3;

/** Policies as teams have them: each for a namespace and some apps and services, and some that deny a part of it. */
function policies(count: number): Policy[] {
  return Array.from({ length: count }, (_, index): Policy => {
    const namespace = [`team-${index}`];
    return {
      name: `team-${index}`,
      rules: [
        { effect: "allow", actions: ["registry:*"], on: { namespace, service: [`service-${index}-*`, "shared"] } },
        { effect: "allow", actions: ["config:*"], on: { namespace, app: [`app-${index}`, "common-*"] } },
        { effect: "deny", actions: ["config:publish"], on: { namespace, key: ["secret.*"] } },
      ],
    };
  });
}

function principal(count: number): Principal {
  const given = policies(count);
  const names = given.map(({ name }) => name);
  return { id: "a:b", name: "b", kind: "token", policies: names, rights: new Rights(names, given) };
}

function cpuOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

function decisions(count: number): object {
  const caller = principal(count);
  const resources = Array.from({ length: RESOURCES }, (_, index) => {
    const team = index % count;
    return { namespace: `team-${team}`, service: `service-${team}-${index}` };
  });
  const first = cpuOf(() => {
    for (const resource of resources) requireAllowed(caller, "registry:read", resource);
  });
  const batches: number[] = [];
  for (let batch = 0; batch < BATCHES; batch++) {
    const micros = cpuOf(() => {
      for (let i = 0; i < BATCH; i++) requireAllowed(caller, "registry:read", resources[i % RESOURCES] as object);
    });
    batches.push(micros / BATCH);
  }
  return { policies: count, microsOfFirst: round(first / RESOURCES), microsAgain: spread(batches.slice(BATCHES / 3)) };
}

/** The work of authorization for a request: it finds the resources that it names, and decides. Without it there is nothing to do. */
function requests(count: number): object {
  const caller = principal(count);
  const name = { type: "string" };
  const schema = {
    params: { type: "object", properties: { service: name, id: name } },
    querystring: { type: "object", properties: { namespace: name } },
  };
  const fields = fieldsOf({ schema } as unknown as RouteOptions);
  const plan = resourcePlan(fields, { action: "registry:read", about: undefined });
  const asked = Array.from({ length: RESOURCES }, (_, index) => {
    const team = index % count;
    const params = { service: `service-${team}-${index}`, id: "one" };
    return { params, query: { namespace: `team-${team}` }, headers: {}, body: undefined } as unknown as FastifyRequest;
  });
  const batches: number[] = [];
  for (let batch = 0; batch < BATCHES; batch++) {
    const micros = cpuOf(() => {
      for (let i = 0; i < BATCH; i++) {
        const request = asked[i % RESOURCES] as FastifyRequest;
        for (const one of resourcesOf(request, plan)) {
          requireAllowed(caller, "registry:read", one);
        }
      }
    });
    batches.push(micros / BATCH);
  }
  return { policies: count, micros: spread(batches.slice(BATCHES / 3)) };
}

/** A reader that takes everything at once. */
class Reader extends EventEmitter {
  readonly writableLength = 0;
  readonly destroyed = false;
  written = 0;
  write(): boolean {
    this.written++;
    return true;
  }
  cork(): void {}
  uncork(): void {}
  setHeader(): void {}
  writeHead(): void {}
  flushHeaders(): void {}
  end(): void {}
  destroy(): void {}
}

async function fanOut(caller: Principal | undefined): Promise<object> {
  await using hub = new WatchHub(systemHost({ logLevel: "error" }), "bench");
  hub.reset(1);
  const readers = Array.from({ length: SUBSCRIBERS }, () => {
    const raw = new Reader();
    raw.setMaxListeners(0);
    const reply = { raw, request: {}, hijack: () => {}, getHeaders: () => ({}) } as unknown as FastifyReply;
    hub.attach(reply, {
      topics: ["default/*"],
      after: undefined,
      snapshot: () => [],
      sees: caller && visibleServices(caller),
    });
    return raw;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const begun = readers.reduce((sum, { written }) => sum + written, 0);
  const micros: number[] = [];
  for (let event = 0; event < EVENTS; event++) {
    const name = { namespace: "default", service: `service-${event % 2 === 0 ? "0" : "other"}-${event}` };
    micros.push(cpuOf(() => hub.publish(2 + event, [{ topics: topicsOf(name), data: name }])) / SUBSCRIBERS);
  }
  const frames = readers.reduce((sum, { written }) => sum + written, 0) - begun;
  return { microsPerSubscriber: spread(micros.slice(EVENTS / 3)), framesWritten: frames };
}

function inNamespace(count: number): Principal {
  const caller = principal(count);
  const given = policies(count);
  const own: Policy = {
    name: "own",
    rules: [{ effect: "allow", actions: ["registry:read"], on: { namespace: ["default"] } }],
  };
  const hidden: Policy = {
    name: "hidden",
    rules: [{ effect: "deny", actions: ["registry:read"], on: { service: ["nothing-*"] } }],
  };
  return { ...caller, rights: new Rights([...caller.policies, "own", "hidden"], [...given, own, hidden]) };
}

export async function benchAuthorization(): Promise<object> {
  const decided = POLICIES.map((count) => decisions(count));
  const perRequest = POLICIES.map((count) => requests(count));
  const most = (perRequest.at(-1) as { micros: { median: number } }).micros.median;
  return {
    decisions: decided,
    microsPerRequest: perRequest,
    fanOut: {
      subscribers: SUBSCRIBERS,
      withoutFilter: await fanOut(undefined),
      filterOf1: await fanOut(inNamespace(1)),
      filterOf1000: await fanOut(inNamespace(1_000)),
    },
    ...(most > MICROS_MAX ? { failed: `authorization takes ${most} µs of a request, more than ${MICROS_MAX}` } : {}),
  };
}

if (import.meta.main) console.log(JSON.stringify(await benchAuthorization(), null, 2));
