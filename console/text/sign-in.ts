/** Texts of the ways of signing in beside a token. */
import { defineText } from "./mod.ts";

export const signInText = defineText(
  {
    sso: "Sign in with SSO",
    ssoAt: (provider: string) => `You sign in at ${provider}.`,
    or: "or by a token",
  },
  {
    sso: "使用 SSO 登录",
    ssoAt: (provider) => `将在 ${provider} 登录。`,
    or: "或使用令牌",
  },
);
