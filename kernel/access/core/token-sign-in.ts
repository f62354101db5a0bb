/** How a sign-in made a token: by a person at an identity provider, or by a device that a signed-in browser confirmed. Pure. */

/** A person as an identity provider describes it. */
export interface SignedInPerson {
  readonly user: string;
  /** All groups that the provider named, so that a binding of today or tomorrow applies. */
  readonly groups: readonly string[];
}

export interface TokenSignIn {
  /** `browser`: a browser has a session of the token, whose secret was discarded. `device`: a command line has the secret. */
  readonly kind: "browser" | "device";
  /** How the person signed in, for a device: at the browser that confirmed it. */
  readonly method: "oidc" | "token" | "link";
  /** The person whose bindings decide what the token may do. Absent: the policies of the record decide. */
  readonly person?: SignedInPerson;
  /** The token that this one was made from, and ends with. */
  readonly parent?: string;
  /** The lease of the record, so that the store forgets it when it ends. */
  readonly lease: string;
  /** Address that it was made from. */
  readonly address?: string;
  /** Name of the device, as it gave it. */
  readonly device?: string;
}
