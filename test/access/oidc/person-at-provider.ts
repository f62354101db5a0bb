/** A person at the test provider without a real browser: follows its redirects, keeps its cookies and fills in its forms. */
import { expect } from "vitest";

const STEPS_MAX = 12;

/** Signs in at the provider. Returns the address that it sends the browser back to. */
export async function signInAtProvider(authorizationUrl: string, login: string): Promise<URL> {
  const { origin } = new URL(authorizationUrl);
  const jar = new Map<string, string>();
  let url = authorizationUrl;
  let form: string | undefined;
  for (let step = 0; step < STEPS_MAX; step++) {
    const answer: Response = await fetch(url, {
      redirect: "manual",
      headers: {
        cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; "),
        ...(form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
      },
      ...(form === undefined ? {} : { method: "POST", body: form }),
    });
    form = undefined;
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      jar.set(name, value);
    }
    const location = answer.headers.get("location");
    const page = await answer.text();
    if (location !== null) {
      const next = new URL(location, url);
      if (next.origin !== origin) return next;
      url = next.href;
      continue;
    }
    expect(answer.status, page).toBe(200);
    const [, action = ""] = /<form[^>]*action="([^"]+)"/.exec(page) ?? [];
    url = new URL(action, url).href;
    form = page.includes('value="login"')
      ? new URLSearchParams({ prompt: "login", login, password: "x" }).toString()
      : "prompt=consent";
  }
  throw new Error(`${authorizationUrl} did not end in ${STEPS_MAX} steps`);
}
