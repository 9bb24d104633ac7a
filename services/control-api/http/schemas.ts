import { z } from "zod";
import { limits, outOfRange, type Range, ranges } from "../rules/limits.ts";

/**
 * The shapes of HTTP bodies: proto3 JSON of the messages of proto/sluice/v1.
 * What a rule may hold beyond its shape is checked in rules/validate.ts.
 */

const within = (range: Range) => {
	const error = (issue: { input?: unknown }) => outOfRange(issue.input, range);
	return z
		.int({ error: (issue) => `${JSON.stringify(issue.input) ?? "nothing"} is not a whole number` })
		.min(range.least, { error })
		.max(range.most, { error });
};
/** 64-bit numbers are strings in proto3 JSON. */
const uint64 = z.string().regex(/^[0-9]+$/);
const uint32 = z.int().min(0);

export const input = z.strictObject({
	interface: z.string(),
	group: z.string().meta({ description: "IPv4 multicast group, or a unicast address of the relay" }),
	port: within(ranges.port),
	sources: z.array(z.string()).optional().meta({ description: "addresses or prefixes; absent: any source" }),
	vlan: within(ranges.vlan).optional().meta({ description: "absent: untagged frames only" }),
});

export const output = z.strictObject({
	interface: z.string(),
	address: z.string().meta({ description: "IPv4 multicast group or unicast address" }),
	port: within(ranges.port),
	ttl: within(ranges.ttl).optional().meta({ description: "absent: 16" }),
	dscp: within(ranges.dscp).optional().meta({ description: "absent: 0" }),
	sourcePort: within(ranges.port).optional().meta({ description: "absent: the destination port" }),
});

export const rule = z.strictObject({
	name: z.string().meta({ description: "[a-z0-9][a-z0-9-]{0,62}" }),
	input,
	outputs: z.array(output).meta({ minItems: 1, maxItems: limits.outputsPerRule }),
	hosts: z
		.array(z.string())
		.optional()
		.meta({ description: 'host ids, or ["all"]; absent: the one host that has the input interface' }),
	hostLabels: z
		.record(z.string(), z.string())
		.optional()
		.meta({ description: "every host that carries all of these; not together with hosts" }),
});

/** In the body of a PUT the name may be left out: the path says it. */
export const namelessRule = rule.extend({ name: rule.shape.name.optional() });

export const applyRequest = z.strictObject({
	rules: z.array(rule),
	prune: z.boolean().optional().meta({ description: "remove the rules that are not named" }),
	dryRun: z.boolean().optional().meta({ description: "write nothing, answer what would change" }),
});

const hostState = z.strictObject({
	host: z.string(),
	state: z.enum(["PENDING", "ACTIVE", "FAILED", "STANDBY"]),
	reason: z.string(),
});

const storedRule = z.strictObject({
	name: z.string(),
	input: input.extend({ sources: z.array(z.string()) }),
	outputs: z.array(output),
	hosts: z.array(z.string()),
	hostLabels: z.record(z.string(), z.string()),
});

export const ruleStatus = z.strictObject({
	name: z.string(),
	uid: z.string(),
	revision: uint64,
	hosts: z.array(hostState),
	rule: storedRule,
});

export const putRuleResponse = z.strictObject({
	rule: ruleStatus,
	warnings: z.array(z.string()),
	changed: z.boolean(),
});
export const getRuleResponse = z.strictObject({ rule: ruleStatus });
export const listRulesResponse = z.strictObject({
	rules: z.array(ruleStatus),
	nextPageToken: z.string(),
	warnings: z.array(z.string()),
});
export const removeRuleResponse = z.strictObject({ name: z.string(), revision: uint64 });

export const applyResponse = z.strictObject({
	changes: z.array(
		z.strictObject({
			name: z.string(),
			action: z.enum(["UNCHANGED", "ADDED", "CHANGED", "REMOVED"]),
			fields: z.array(z.string()),
			revision: uint64,
		}),
	),
	warnings: z.array(z.string()),
	uploadSubject: z.string(),
	added: uint32,
	changed: uint32,
	removed: uint32,
	unchanged: uint32,
});

const networkInterface = z.strictObject({
	name: z.string(),
	index: uint32,
	up: z.boolean(),
	addresses: z.array(z.string()),
	mtu: uint32,
	mac: z.string(),
	loopback: z.boolean(),
	driver: z.string(),
});

export const listHostsResponse = z.strictObject({
	hosts: z.array(
		z.strictObject({
			host: z.string(),
			labels: z.record(z.string(), z.string()),
			interfaces: z.array(networkInterface),
			appliedSequence: uint64,
			lastSeenSeconds: z.number(),
			incarnation: uint64,
			ringBytes: uint64,
			ringLimitBytes: uint64,
			version: z.string(),
			kernel: z.string(),
			protocolVersion: uint32,
			cores: uint32,
			idle: z.string(),
			priority: z.string(),
			holding: z.string(),
			stopped: z.boolean(),
		}),
	),
});

export const forgetHostResponse = z.strictObject({
	host: z.string(),
	known: z.boolean(),
	figuresKept: z.boolean(),
});

const worker = z.strictObject({
	host: z.string(),
	worker: uint32,
	core: uint32,
	pid: uint32,
	state: z.enum(["STARTING", "RUNNING", "DRAINING", "BACKOFF", "FAILED"]),
	restarts: uint32,
	lastExit: z.string(),
});

export const listWorkersResponse = z.strictObject({ workers: z.array(worker) });
export const restartWorkerResponse = z.strictObject({ worker, formerPid: uint32, tookMs: uint32 });

/** Statistics are passed on as the aggregator answers them; the members that are sure are named. */
export const getStatsResponse = z.looseObject({
	rules: z.array(
		z.looseObject({
			name: z.string(),
			receivedPackets: uint64,
			receivedBytes: uint64,
			forwardedPackets: uint64,
			droppedPackets: z.record(z.string(), uint64),
			outputs: z.array(
				z.looseObject({
					interface: z.string(),
					address: z.string(),
					port: uint32,
					eligiblePackets: uint64,
					sentPackets: uint64,
					failedPackets: uint64,
					limitedPackets: uint64,
					failedByReason: z.record(z.string(), uint64),
					unreachableAnswers: uint64,
				}),
			),
		}),
	),
	interfaces: z.array(z.looseObject({ host: z.string(), interface: z.string() })),
	nextPageToken: z.string(),
});

export const errorBody = z.strictObject({
	error: z.strictObject({
		code: z.enum([
			"invalid",
			"unauthenticated",
			"forbidden",
			"not_found",
			"method_not_allowed",
			"conflict",
			"too_large",
			"internal",
			"unavailable",
			"timeout",
		]),
		message: z.string(),
		status: z.int(),
		revision: uint64.optional().meta({ description: "on a conflict: the revision that stands" }),
	}),
});

const flag = z
	.enum(["", "true", "1", "false", "0"], { error: () => "is neither true nor false" })
	.transform((text) => text === "" || text === "true" || text === "1");
const pageSize = z
	.string()
	.regex(/^[0-9]{1,6}$/, { error: () => "is not a number" })
	.transform(Number);

export const noQuery = z.strictObject({});
export const pageQuery = z.strictObject({ pageSize: pageSize.optional(), pageToken: z.string().optional() });
export const applyQuery = z.strictObject({ dryRun: flag.optional(), prune: flag.optional() });
export const statsQuery = z.strictObject({
	names: z.string().optional().meta({ description: "rule names, with commas between" }),
	pageSize: pageSize.optional().meta({ description: "absent: all rules at once" }),
	perWorker: flag.optional().meta({ description: "also what each worker counted" }),
	pageToken: z.string().optional(),
});
