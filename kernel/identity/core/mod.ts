/** The pure part of identity: names of workloads, and what holds their current certificate. */
export * from "./identity-source.ts";
export * from "./spiffe-id.ts";
export { altNames, spiffeIdOfNames } from "./alt-names.ts";
export { admissionByte, admissionOf, MESH_PROTOCOL, type Admission } from "./mesh.ts";
