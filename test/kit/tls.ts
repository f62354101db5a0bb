/** A source of certificates that a test changes, and the certificate of a listener on loopback. */
import type { TlsMaterial, TlsSource } from "#http";
import { authority, type Authority } from "../gateway/certificates.ts";

export interface TestTls extends TlsSource {
  readonly authority: Authority;
  current: TlsMaterial;
  /** Replaces the certificate, as a renewal does. */
  renew(options?: Parameters<Authority["issue"]>[1]): Promise<TlsMaterial>;
}

/** A listener's certificate for `localhost` and 127.0.0.1, or for the names given. */
export async function testTls(
  names: readonly string[] = ["localhost", "127.0.0.1"],
  options: Parameters<Authority["issue"]>[1] = {},
): Promise<TestTls> {
  const issuer = await authority();
  const listeners = new Set<() => void>();
  const issued = async (given = options): Promise<TlsMaterial> => {
    const { key, cert } = await issuer.issue(names, given);
    return { certificate: cert, key, bundle: issuer.pem };
  };
  const tls: TestTls = {
    authority: issuer,
    current: await issued(),
    async renew(given) {
      tls.current = await issued(given);
      for (const listener of listeners) listener();
      return tls.current;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  return tls;
}
