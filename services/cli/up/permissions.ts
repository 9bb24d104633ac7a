import {
	applyUploadSubject,
	buckets,
	countersStream,
	countersSubjects,
	eventSubjects,
	hostAcceptSubject,
	hostCountersSubjects,
	hostHeldSubject,
	hostRestartSubject,
	hostSubjects,
	requests,
	statsSubject,
} from "@sluice/proto/subjects";

/** The identities `up` makes keys for. Of supervisor and worker each host has its own. */
export const identityNames = [
	"control-api",
	"stats-aggregator",
	"supervisor",
	"worker",
	"operator",
	"reader",
] as const;
export type IdentityName = (typeof identityNames)[number];

/** Subjects as nats-server's configuration takes them. */
export interface Permissions {
	readonly publish: { readonly allow: readonly string[]; readonly deny?: readonly string[] };
	readonly subscribe: { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
	/** May publish one answer to whatever reply subject a request it received names. */
	readonly allowResponses: boolean;
}

/** Discovery of the NATS services framework: PING, INFO and STATS. */
const SERVICE_DISCOVERY = "$SRV.>";

/**
 * What each identity may do on the host's own nats-server, and nothing besides: no identity
 * has a wildcard over `$JS.API` or `$KV`. @param host this host's id.
 */
export function permissionsOf(identity: IdentityName, host: string): Permissions {
	switch (identity) {
		case "control-api":
			return controlApi();
		case "stats-aggregator":
			return statsAggregator();
		case "supervisor":
			return supervisor(host);
		case "worker":
			return worker(host);
		case "operator":
			return operator();
		case "reader":
			return reader();
	}
}

/** The only writer of rules and settings, and the one who creates the buckets and the stream. */
function controlApi(): Permissions {
	const streams = [...Object.values(buckets).map(streamOf), countersStream];
	return {
		publish: {
			allow: [
				...streams.flatMap((stream) => [
					`$JS.API.STREAM.CREATE.${stream}`,
					`$JS.API.STREAM.UPDATE.${stream}`,
					`$JS.API.STREAM.INFO.${stream}`,
				]),
				// The client asks once whether the account has JetStream.
				"$JS.API.INFO",
				...Object.values(buckets).flatMap(readBucket),
				writeBucket(buckets.rules, ">"),
				writeBucket(buckets.settings, ">"),
				// GET /v1/stats and /metrics ask the aggregator.
				requests.statsGet,
				// After a loss: what hosts hold.
				hostHeldSubject("*"),
				hostAcceptSubject("*"),
				// Replaces one worker of a host.
				hostRestartSubject("*"),
				eventSubjects,
			],
		},
		subscribe: {
			allow: [
				requests.rulePut,
				requests.ruleGet,
				requests.ruleList,
				requests.ruleRemove,
				requests.ruleApply,
				requests.hostList,
				requests.workerList,
				requests.workerRestart,
				requests.logLevel,
				requests.clusterRecover,
				applyUploadSubject("*"),
				// GET /v1/events passes them on.
				eventSubjects,
				SERVICE_DISCOVERY,
				inboxOf("control-api"),
			],
		},
		allowResponses: true,
	};
}

/** Reads rules, hosts and counters; what it says are statistics. No consumer on the counters (ADR 0020). */
function statsAggregator(): Permissions {
	return {
		publish: {
			allow: [
				...Object.values(buckets).flatMap(readBucket),
				`$JS.API.STREAM.INFO.${countersStream}`,
				`$JS.API.STREAM.MSG.GET.${countersStream}`,
				statsSubject("*"),
			],
			// `*` matches the request subject as well, where only requesters speak.
			deny: [requests.statsGet],
		},
		subscribe: {
			allow: [countersSubjects, requests.statsGet, SERVICE_DISCOVERY, inboxOf("stats-aggregator")],
		},
		allowResponses: true,
	};
}

/** Reads what its host should do and where others stand; writes its own host's record. */
function supervisor(host: string): Permissions {
	return {
		publish: {
			allow: [...Object.values(buckets).flatMap(readBucket), writeBucket(buckets.hosts, host), eventSubjects],
		},
		subscribe: { allow: [hostSubjects(host), inboxOf("supervisor")] },
		allowResponses: true,
	};
}

/** Faces the network's packets, so it is trusted least: it publishes its counters and hears nothing. */
function worker(host: string): Permissions {
	return {
		publish: { allow: [hostCountersSubjects(host)] },
		subscribe: { deny: [">"] },
		allowResponses: false,
	};
}

/** People and programs with the operator's file: every request, no direct access to a bucket. */
function operator(): Permissions {
	const others = identityNames.filter((name) => name !== "operator");
	return {
		publish: { allow: [...Object.values(requests), applyUploadSubject("*"), SERVICE_DISCOVERY] },
		subscribe: {
			// All inboxes but those of the services: `nats req` from a shell takes a random one.
			allow: [statsSubject("*"), eventSubjects, "_INBOX.>"],
			deny: others.map(inboxOf),
		},
		allowResponses: false,
	};
}

/** Members of group sluice: what only reads. */
function reader(): Permissions {
	const { ruleGet, ruleList, hostList, workerList, statsGet } = requests;
	return {
		publish: { allow: [ruleGet, ruleList, hostList, workerList, statsGet, SERVICE_DISCOVERY] },
		subscribe: { allow: [statsSubject("*"), eventSubjects, inboxOf("reader")] },
		allowResponses: false,
	};
}

function inboxOf(identity: IdentityName): string {
	return `_INBOX.${identity}.>`;
}

function streamOf(bucket: string): string {
	return `KV_${bucket}`;
}

function writeBucket(bucket: string, keys: string): string {
	return `$KV.${bucket}.${keys}`;
}

/** The least that reading and watching one bucket takes. Consumers: trusted services only. */
export function readBucket(bucket: string): string[] {
	const stream = streamOf(bucket);
	return [
		`$JS.API.STREAM.INFO.${stream}`,
		`$JS.API.STREAM.MSG.GET.${stream}`,
		`$JS.API.DIRECT.GET.${stream}`,
		`$JS.API.DIRECT.GET.${stream}.>`,
		`$JS.API.CONSUMER.CREATE.${stream}`,
		`$JS.API.CONSUMER.CREATE.${stream}.>`,
		`$JS.API.CONSUMER.INFO.${stream}.>`,
		`$JS.API.CONSUMER.DELETE.${stream}.>`,
		`$JS.FC.${stream}.>`,
	];
}
