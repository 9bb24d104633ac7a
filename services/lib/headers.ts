/** Headers of the NATS services framework (NATS ADR-32) and our addition to them. */
export const SERVICE_ERROR_HEADER = "Nats-Service-Error";
export const SERVICE_ERROR_CODE_HEADER = "Nats-Service-Error-Code";
/** On a conflict: the revision that stands, in decimal. */
export const SERVICE_REVISION_HEADER = "Sluice-Revision";
export const CONTENT_TYPE_HEADER = "Content-Type";
export const JSON_CONTENT_TYPE = "application/json";
