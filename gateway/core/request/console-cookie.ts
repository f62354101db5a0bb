/**
 * The cookie that signs a browser in to the console. Browsers send the cookies of a host to each of its ports, so a client of a gateway
 * on the same host would hand its console session to every service. The gateway forwards it in neither direction.
 */
const NAME = "posthouse_session";
const COOKIE = new RegExp(String.raw`(^|;)\s*(?:__Host-)?${NAME}\s*=[^;]*`, "g");
const SET_COOKIE = new RegExp(String.raw`^\s*(?:__Host-)?${NAME}\s*=`);

/** The value of a `Cookie` header without the console's; undefined when nothing is left. */
export function withoutConsoleCookie(value: string): string | undefined {
  if (!value.includes(NAME)) return value;
  const rest = value.replaceAll(COOKIE, "").replace(/^;?\s*/, "");
  return rest === "" ? undefined : rest;
}

/** Whether a `Set-Cookie` header sets the console's cookie. */
export function setsConsoleCookie(value: string): boolean {
  return SET_COOKIE.test(value);
}
