/** Sign-in of people by OpenID Connect: shapes and OIDC_ codes. */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

export const OidcErrors = defineErrors("OIDC", {
  NOT_SET_UP: { status: 404, title: "Sign-in by OpenID Connect is not set up" },
  WRONG_ADDRESS: { status: 400, title: "Console opened at another address" },
  STATE_INVALID: { status: 400, title: "Sign-in not started by this browser, too old, or used before" },
  REFUSED: { status: 401, title: "Identity provider refused the sign-in" },
  CLAIMS_INVALID: { status: 403, title: "Identity provider named no usable user" },
  NOT_BOUND: { status: 403, title: "No binding for this person" },
  PROVIDER_INVALID: { status: 502, title: "Identity provider answered with something invalid" },
  PROVIDER_UNAVAILABLE: { status: 503, title: "Identity provider does not answer" },
});

export const SignInMethods = Type.Object({
  token: Type.Boolean({ description: "By a token, and by the links of `posthouse console`." }),
  oidc: Type.Optional(
    Type.Object(
      {
        issuer: Type.String({ description: "The identity provider." }),
        path: Type.String({ description: "Where a browser begins. Takes `return`, a path below /ui/." }),
      },
      { description: "By OpenID Connect. Absent: not set up." },
    ),
  ),
});
export type SignInMethods = Static<typeof SignInMethods>;
