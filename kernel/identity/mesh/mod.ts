/** TLS between workloads: credentials that follow their certificate, and the checks of the other side. */
export { MeshIdentity, type MeshCredentials } from "./mesh-identity.ts";
export { meshConnectOptions, meshTlsOptions, type RevocationTest } from "./tls-options.ts";
