/** TLS between workloads: credentials that follow their certificate, and the checks of the other side. */
export { MeshIdentity, type MeshCredentials, type RevocationTest } from "./mesh-identity.ts";
export { meshTlsOptions, requireServer } from "./tls-options.ts";
