/** Indices within the counter blocks of include/sluice.h; every block begins at a multiple of 8. */

/** In the order of Drop.Reason in proto/sluice/v1/stats.proto. */
export const DROP_REASONS = [
	"SHORT_FRAME",
	"BAD_IP_HEADER",
	"BAD_IP_CHECKSUM",
	"FRAGMENT",
	"NOT_UDP",
	"BAD_UDP_LENGTH",
	"BAD_UDP_CHECKSUM",
	"TRUNCATED",
	"DOUBLE_TAGGED",
	"BAD_SEGMENT_SIZE",
	"SOURCE_FILTERED",
	"NO_OUTPUT",
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

/** In the order of Failure.Reason in proto/sluice/v1/stats.proto. */
export const FAILURE_REASONS = [
	"QUEUE_FULL",
	"INTERFACE_DOWN",
	"UNREACHABLE",
	"NOT_PERMITTED",
	"TOO_LONG",
	"UNUSABLE",
	"OTHER",
] as const;

export type FailureReason = (typeof FAILURE_REASONS)[number];

export const RULE_COUNTER = {
	receivedPackets: 0,
	/** Payload. */
	receivedBytes: 1,
	forwardedPackets: 2,
	/** 0: never. */
	lastReceivedUnixMs: 3,
	/** The first of as many as there are DROP_REASONS. */
	dropped: 4,
} as const;
export const RULE_COUNTERS = 16;

export const OUTPUT_COUNTER = {
	eligiblePackets: 0,
	sentPackets: 1,
	/** Payload. */
	sentBytes: 2,
	failedPackets: 3,
	limitedPackets: 4,
	/** ICMP messages, not datagrams. */
	unreachableAnswers: 5,
	/** The first of as many as there are FAILURE_REASONS. */
	failedByReason: 8,
} as const;
export const OUTPUT_COUNTERS = 16;

export const INTERFACE_COUNTER = {
	capturedFrames: 0,
	kernelDroppedFrames: 1,
	unmatchedPackets: 2,
	/** The first of as many as there are DROP_REASONS. */
	dropped: 3,
} as const;
export const INTERFACE_COUNTERS = 16;

export const WORKER_COUNTER = {
	batches: 0,
	wakeups: 1,
	segmentationFallbacks: 2,
	/** The first of a histogram: 1, 2, 3 to 4, 5 to 8, … */
	batchFrames: 8,
	/** The first of a histogram in the same steps. */
	segmentsPerSend: 24,
	/** Moves with each round of the packet thread, at least each 100 ms. */
	heartbeatNs: 40,
} as const;
export const WORKER_COUNTERS = 64;
export const HISTOGRAM_STEPS = 12;

/** Where the worker's own block is in every counter memory. */
export const WORKER_BLOCK_INDEX = 0;

/** For the comparison with the library at load. */
export const COUNTER_NUMBERS: Record<string, number> = {
	SLUICE_DROP_COUNT: DROP_REASONS.length,
	SLUICE_RULE_COUNTERS: RULE_COUNTERS,
	SLUICE_RULE_DROPPED: RULE_COUNTER.dropped,
	SLUICE_FAILURE_COUNT: FAILURE_REASONS.length,
	SLUICE_OUTPUT_COUNTERS: OUTPUT_COUNTERS,
	SLUICE_OUTPUT_FAILED_BY_REASON: OUTPUT_COUNTER.failedByReason,
	SLUICE_INTERFACE_COUNTERS: INTERFACE_COUNTERS,
	SLUICE_INTERFACE_DROPPED: INTERFACE_COUNTER.dropped,
	SLUICE_WORKER_COUNTERS: WORKER_COUNTERS,
	SLUICE_WORKER_BATCH_FRAMES: WORKER_COUNTER.batchFrames,
	SLUICE_WORKER_SEGMENTS_PER_SEND: WORKER_COUNTER.segmentsPerSend,
	SLUICE_WORKER_HEARTBEAT_NS: WORKER_COUNTER.heartbeatNs,
	SLUICE_HISTOGRAM_STEPS: HISTOGRAM_STEPS,
};
