/** The pure part of identity: names of workloads, what holds their current certificate, and the record of the authority. */
export * from "./authority-record.ts";
export * from "./identity-source.ts";
export * from "./peer.ts";
export * from "./revocations.ts";
export * from "./spiffe-id.ts";
export { altNames, spiffeIdOfNames } from "./alt-names.ts";
export { admissionByte, admissionOf, MESH_PROTOCOL, type Admission } from "./mesh.ts";
