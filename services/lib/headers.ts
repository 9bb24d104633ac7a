/** Headers of the NATS services framework (NATS ADR-32) and our addition to them. */
export const SERVICE_ERROR_HEADER = "Nats-Service-Error";
export const SERVICE_ERROR_CODE_HEADER = "Nats-Service-Error-Code";
/** On a conflict: the revision that stands, in decimal. */
export const SERVICE_REVISION_HEADER = "Sluice-Revision";
/** On a write to a bucket: another one of the same edit follows. */
export const MORE_HEADER = "Sluice-More";
export const CONTENT_TYPE_HEADER = "Content-Type";
export const JSON_CONTENT_TYPE = "application/json";
