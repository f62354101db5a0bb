/**
 * Identity: shapes of certificates, the certificate authority, join tokens and nodes, and IDENTITY_ codes. A workload makes its own key
 * and sends a certificate signing request (CSR); no answer has a key.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

/** Life of a certificate in seconds: the longest and default one, and the shortest, below which clocks would matter. */
export const CERTIFICATE_SECONDS = 86_400;
export const CERTIFICATE_SECONDS_MIN = 60;
/** Names beside the SPIFFE id in one certificate: a host with several networks. */
export const CERTIFICATE_NAMES_MAX = 32;
/** Characters of a CSR in PEM: RSA 8192 with the names above takes less than half of it. */
export const CSR_CHARS_MAX = 16_384;
/** Characters of an imported chain or key, in PEM. */
export const IMPORT_CHARS_MAX = 65_536;
/** Life of a join token in seconds: the longest, and by default. Long enough to set a machine up. */
export const JOIN_TOKEN_SECONDS_MAX = 86_400;
export const JOIN_TOKEN_SECONDS = 1_800;
/** Certificates in one page of a list. */
export const CERTIFICATES_PAGE_MAX = 1_000;
/** Names in one limit of a node: as in a token. */
const LIMIT_NAMES_MAX = 256;
/**
 * Seconds that two roots are trusted together at each end of a rotation, by default: a machine that was off for a week still knows a
 * root of the control plane, and the control plane still knows the root of its certificate.
 */
export const ROTATION_SECONDS = 8 * 86_400;
export const ROTATION_SECONDS_MAX = 365 * 86_400;
/**
 * Serial numbers in a trust bundle. Each leaves when its certificate ends, so only a large removal comes near it; all of them are 150 KB,
 * which every agent receives at each revocation.
 */
export const REVOKED_MAX = 4_096;

const Fingerprint = Type.String({ description: "SHA-256 of the certificate in DER, 64 hexadecimal digits." });
const Time = Type.String({ format: "date-time" });
const Pem = (description: string, maxLength: number) => Type.String({ minLength: 1, maxLength, description });
const SpiffeIdText = Type.String({ description: "spiffe://TRUST-DOMAIN/ns/NAMESPACE/service/NAME, or /agent/NAME." });

export const DnsNames = Type.Array(
  Type.String({
    pattern: "^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*$",
  }),
  { maxItems: CERTIFICATE_NAMES_MAX, uniqueItems: true, description: "DNS names in the certificate, in lower case." },
);
export const IpAddresses = Type.Array(Type.Union([Type.String({ format: "ipv4" }), Type.String({ format: "ipv6" })]), {
  maxItems: CERTIFICATE_NAMES_MAX,
  uniqueItems: true,
  description: "IP addresses in the certificate.",
});

export const NodeKind = Type.Union([Type.Literal("agent"), Type.Literal("gateway")], {
  description: "agent: runs on each host of services · gateway: a gateway in a process of its own.",
});
export type NodeKind = Static<typeof NodeKind>;

export const NodeName = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
  description: "Name of the node, which is also in its SPIFFE id. Use one per host.",
});

const LimitNames = (description: string) =>
  Type.Array(Type.String({ pattern: "^(\\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$" }), {
    minItems: 1,
    maxItems: LIMIT_NAMES_MAX,
    uniqueItems: true,
    description,
  });

/** The limits of a node; `*` matches every name. */
const nodeLimits = {
  namespaces: Type.Optional(LimitNames("The only namespaces that the node can access. Absent: all namespaces.")),
  apps: Type.Optional(
    LimitNames(
      "The apps whose configs and secrets the node reads. Absent: none for an agent, and gateway for a gateway.",
    ),
  ),
  services: Type.Optional(
    LimitNames(
      "The only services that the node can register instances of, and get certificates for. " +
        "Absent: it registers every service, and gets no certificate for any.",
    ),
  ),
};
/** More names in the certificates of a node. */
const nodeNames = { dns: Type.Optional(DnsNames), ips: Type.Optional(IpAddresses) };

export const TrustBundle = Type.Object({
  trustDomain: Type.String(),
  revision: Type.Integer({ description: "Grows with each change of the bundle." }),
  pem: Type.String({ description: "Every root that is trusted now, in PEM. During a rotation there are two." }),
  fingerprints: Type.Array(Fingerprint, { description: "Of the roots, in the order of pem." }),
  revoked: Type.Array(Type.String(), {
    maxItems: REVOKED_MAX,
    description: "Serial numbers of certificates that were revoked and have not ended, the last to end first.",
  }),
  revokedMore: Type.Integer({ minimum: 0, description: "Revoked certificates beyond the length of the list." }),
});
export type TrustBundle = Static<typeof TrustBundle>;

export const CertificateRequest = Type.Object(
  {
    csr: Pem(
      "A certificate signing request in PEM. Its only part that counts, beside the key, is the SPIFFE id among its alternative names.",
      CSR_CHARS_MAX,
    ),
    ...nodeNames,
    ttlSeconds: Type.Optional(
      Type.Integer({ minimum: CERTIFICATE_SECONDS_MIN, maximum: CERTIFICATE_SECONDS, description: "Absent: a day." }),
    ),
  },
  { additionalProperties: false },
);
export type CertificateRequest = Static<typeof CertificateRequest>;

export const IssuedCertificate = Type.Object({
  certificate: Type.String({ description: "The certificate and the intermediate that issued it, in PEM." }),
  bundle: Type.String({ description: "Every root that is trusted now, in PEM." }),
  spiffeId: SpiffeIdText,
  serial: Type.String(),
  expiresAt: Time,
});
export type IssuedCertificate = Static<typeof IssuedCertificate>;

export const CertificateSummary = Type.Object({
  serial: Type.String({ description: "Serial number, 32 hexadecimal digits." }),
  spiffeId: SpiffeIdText,
  dns: Type.Optional(Type.Array(Type.String())),
  ips: Type.Optional(Type.Array(Type.String())),
  issuedAt: Time,
  expiresAt: Time,
  by: Type.String({ description: "The principal that requested it." }),
  revoked: Type.Optional(Type.Object({ at: Time, by: Type.String() })),
});
export type CertificateSummary = Static<typeof CertificateSummary>;

export const CertificateList = Type.Object({
  certificates: Type.Array(CertificateSummary, { description: "The newest first, without their keys." }),
  more: Type.Integer({ description: "Further certificates that match." }),
});
export type CertificateList = Static<typeof CertificateList>;

const AuthorityPart = Type.Union([Type.Literal("root"), Type.Literal("intermediate")]);

export const AuthorityCertificate = Type.Object({
  fingerprint: Fingerprint,
  part: AuthorityPart,
  subject: Type.String(),
  expiresAt: Time,
  state: Type.Union([Type.Literal("announced"), Type.Literal("issuing"), Type.Literal("retiring")], {
    description:
      "announced: trusted, and issues nothing yet · issuing: new certificates come from it · retiring: trusted until removedAt.",
  }),
  removedAt: Type.Optional(Time),
  keyHere: Type.Boolean({
    description: "Whether the store has its key, sealed. The root of an imported intermediate has none.",
  }),
  imported: Type.Boolean(),
  pem: Type.String(),
});
export type AuthorityCertificate = Static<typeof AuthorityCertificate>;

export const AuthorityView = Type.Object({
  trustDomain: Type.String(),
  state: Type.Union([Type.Literal("none"), Type.Literal("ready"), Type.Literal("keys-lost"), Type.Literal("expired")], {
    description:
      "none: the first certificate or join token creates it · ready · keys-lost: its sealed key cannot be opened, so nothing is issued · " +
      "expired: the issuing certificate has ended.",
  }),
  problem: Type.Optional(Type.String({ description: "Why nothing is issued, and what to do." })),
  certificates: Type.Array(AuthorityCertificate),
  rotation: Type.Optional(
    Type.Object(
      { part: AuthorityPart, to: Fingerprint, switchesAt: Time },
      { description: "A rotation whose new root is announced. New certificates come from it at switchesAt." },
    ),
  ),
});
export type AuthorityView = Static<typeof AuthorityView>;

const overlapSeconds = Type.Optional(
  Type.Integer({
    minimum: 0,
    maximum: ROTATION_SECONDS_MAX,
    description:
      "Seconds that the new root is announced before certificates come from it, and that the old one stays trusted " +
      "beyond the last certificate. " +
      "Absent: 8 days. A process that was away for longer joins again.",
  }),
);

export const RotationRequest = Type.Object({ part: AuthorityPart, overlapSeconds }, { additionalProperties: false });
export type RotationRequest = Static<typeof RotationRequest>;

export const ImportRequest = Type.Object(
  {
    certificate: Pem("A root, or an intermediate followed by its issuers up to the root, in PEM.", IMPORT_CHARS_MAX),
    key: Pem("The key of the first certificate, in PEM (PKCS #8), without a passphrase.", IMPORT_CHARS_MAX),
    overlapSeconds,
  },
  { additionalProperties: false },
);
export type ImportRequest = Static<typeof ImportRequest>;

export const JoinTokenRequest = Type.Object(
  {
    kind: NodeKind,
    name: Type.Optional(NodeName),
    ...nodeLimits,
    ...nodeNames,
    ttlSeconds: Type.Optional(
      Type.Integer({ minimum: 1, maximum: JOIN_TOKEN_SECONDS_MAX, description: "Absent: half an hour." }),
    ),
  },
  { additionalProperties: false },
);
export type JoinTokenRequest = Static<typeof JoinTokenRequest>;

export const JoinTokenSummary = Type.Object({
  id: Type.String(),
  kind: NodeKind,
  name: Type.Optional(Type.String({ description: "The only name that it can be used for. Absent: any new name." })),
  ...nodeLimits,
  ...nodeNames,
  createdAt: Time,
  expiresAt: Time,
  by: Type.String(),
  used: Type.Optional(Type.Object({ at: Time, name: Type.String() })),
});
export type JoinTokenSummary = Static<typeof JoinTokenSummary>;

export const IssuedJoinToken = Type.Object({
  ...JoinTokenSummary.properties,
  token: Type.String({
    description:
      "Shown only in this response. It has the fingerprint of the authority, so that the node can verify it.",
  }),
});
export type IssuedJoinToken = Static<typeof IssuedJoinToken>;

export const JoinTokenList = Type.Object({ joinTokens: Type.Array(JoinTokenSummary) });
export type JoinTokenList = Static<typeof JoinTokenList>;

export const JoinRequest = Type.Object(
  {
    token: Type.String({ minLength: 1, maxLength: 512 }),
    csr: Pem("A certificate signing request in PEM. Only its key counts.", CSR_CHARS_MAX),
    name: Type.Optional(NodeName),
    defaultName: Type.Optional(
      Type.Unsafe<string>({ ...NodeName, description: "Name of the node when neither `name` nor the token has one." }),
    ),
  },
  { additionalProperties: false },
);
export type JoinRequest = Static<typeof JoinRequest>;

export const RenewalRequest = Type.Object(
  {
    certificate: Pem("The last certificate of the node, in PEM. It ended at most a week ago.", CSR_CHARS_MAX),
    csr: Pem("A certificate signing request in PEM, signed by the key of that certificate.", CSR_CHARS_MAX),
  },
  { additionalProperties: false },
);
export type RenewalRequest = Static<typeof RenewalRequest>;

export const NodeView = Type.Object({
  kind: NodeKind,
  name: Type.String(),
  spiffeId: SpiffeIdText,
  ...nodeLimits,
  ...nodeNames,
  joinedAt: Time,
  joinedWith: Type.String({ description: "Id of its join token." }),
  by: Type.String({ description: "The author of the join token." }),
  certificates: Type.Integer({ description: "Its certificates that are valid now." }),
  expiresAt: Type.Optional(
    Type.String({ format: "date-time", description: "End of its last certificate, if that is known." }),
  ),
});
export type NodeView = Static<typeof NodeView>;

export const NodeList = Type.Object({ nodes: Type.Array(NodeView) });
export type NodeList = Static<typeof NodeList>;

export const IdentityErrors = defineErrors("IDENTITY", {
  NO_KEYS: { status: 503, title: "No key to seal the certificate authority with" },
  KEYS_LOST: { status: 503, title: "Key of the certificate authority cannot be opened" },
  NO_AUTHORITY: { status: 404, title: "No certificate authority yet" },
  AUTHORITY_EXPIRED: { status: 503, title: "Certificate authority has expired" },
  ROTATION_UNDER_WAY: { status: 409, title: "A rotation is under way" },
  ROTATION_NOT_POSSIBLE: { status: 409, title: "Authority cannot be rotated here" },
  IMPORT_INVALID: { status: 400, title: "Authority cannot be imported" },
  CSR_INVALID: { status: 400, title: "Certificate signing request not valid" },
  CSR_KEY_NOT_ALLOWED: { status: 400, title: "Key of the request not allowed" },
  NAME_NOT_ALLOWED: { status: 403, title: "Name not allowed for the caller" },
  CERTIFICATE_UNREADABLE: { status: 401, title: "Certificate not readable" },
  CERTIFICATE_EXPIRED: { status: 401, title: "Certificate has expired" },
  CERTIFICATE_NOT_YET_VALID: { status: 401, title: "Certificate not valid yet" },
  CERTIFICATE_UNKNOWN_ISSUER: { status: 401, title: "Certificate of an unknown authority" },
  CERTIFICATE_REVOKED: { status: 401, title: "Certificate was revoked" },
  CERTIFICATE_WRONG_NAME: { status: 401, title: "Certificate has no name of this trust domain" },
  CERTIFICATE_NOT_FOUND: { status: 404, title: "Certificate not found" },
  JOIN_TOKEN_INVALID: { status: 401, title: "Join token not valid" },
  JOIN_TOKEN_EXPIRED: { status: 401, title: "Join token has expired" },
  JOIN_TOKEN_USED: { status: 401, title: "Join token was used" },
  JOIN_TOKEN_NOT_FOUND: { status: 404, title: "Join token not found" },
  JOIN_NAME_NEEDED: { status: 400, title: "Name of the node missing" },
  NODE_NAME_NOT_ALLOWED: { status: 403, title: "Name not allowed by the join token" },
  NODE_NAME_TAKEN: { status: 409, title: "Name of another node" },
  NODE_NOT_FOUND: { status: 404, title: "Node not found" },
});
