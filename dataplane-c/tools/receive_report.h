/* What sluice-recv says at its end. */
#ifndef SLUICE_TOOLS_RECEIVE_REPORT_H
#define SLUICE_TOOLS_RECEIVE_REPORT_H

#include "receiver.h"

/*
 * One JSON object on stdout. 64-bit counts are strings, as in proto3 JSON; what was not seen is null.
 */
void receive_report_json(const struct receiver *receiver);

/* A line for the total and one per stream, on stdout. */
void receive_report_text(const struct receiver *receiver);

#endif
