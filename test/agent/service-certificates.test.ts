/** Certificates of a host's services while the control plane does not answer. */
import { expect, test } from "vitest";
import { ServiceCertificates } from "#agent";
import { type WorkloadCalls, workloadCalls } from "#client";
import { eventually, ManualClock, tempFolder, testHost } from "#test/kit";

/** A control plane that accepts the watch and never answers. */
function silentCalls(host: ReturnType<typeof testHost>): WorkloadCalls {
  const request = ({ signal }: { readonly signal?: AbortSignal | undefined }) =>
    new Promise<never>((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
  return workloadCalls(host, { transport: { request, [Symbol.asyncDispose]: async () => {} } });
}

test("without a trust bundle, a service's certificate fails in time, says why, and does not delay a stop", async () => {
  await using folder = await tempFolder();
  const host = testHost({ clock: new ManualClock() });
  await using certificates = new ServiceCertificates(host, { dataDir: folder.path, calls: silentCalls(host) });
  const held = certificates.hold({ namespace: "default", service: "orders" });
  const problem = await eventually("it fails", async () => {
    await host.clock.advance(10_000);
    return held.problem;
  });
  expect(problem).toContain("The control plane did not send its trust bundle.");
  expect(held.source.current).toBeUndefined();
});
