import {
	accountSubject,
	applyUploadSubject,
	buckets,
	connectionsSubject,
	countersStream,
	countersSubjects,
	discoverySubjects,
	endedRunSubject,
	eventSubjects,
	hostAcceptSubject,
	hostConnectionName,
	hostCountersSubjects,
	hostEventSubject,
	hostHeldSubject,
	hostRestartSubject,
	hostSubjects,
	keepLastSubject,
	kvSubject,
	requests,
	ruleEventSubject,
	ruleStateEventSubject,
	statsJsonSubject,
	statsSubject,
	statsSubjects,
	workerEventSubject,
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

/** Besides those: programs that place rules. Each has a name and a key of its own. */
export const roles = [...identityNames, "orchestrator"] as const;
export type Role = (typeof roles)[number];

/** Subjects as nats-server's configuration takes them. */
export interface Permissions {
	readonly publish: { readonly allow: readonly string[]; readonly deny?: readonly string[] };
	readonly subscribe: { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
	/** May publish one answer to whatever reply subject a request it received names. */
	readonly allowResponses: boolean;
}

/** What everybody who makes something of rules and hosts reads. */
const shared = [buckets.rules, buckets.hosts, buckets.settings];

/** What is published for whoever wants to know; requests for statistics lie amid them, and are nobody's to hear. */
const watched = [statsSubjects, eventSubjects];

/**
 * What each identity may do on the cluster's nats-server, and nothing besides: no identity
 * has a wildcard over `$JS.API` or `$KV`.
 * @param host whose supervisor, worker or reader it is; the others are the same whatever it is.
 */
export function permissionsOf(role: Role, host: string): Permissions {
	switch (role) {
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
			return reader(host);
		case "orchestrator":
			return orchestrator();
	}
}

/** The only writer of rules and settings, who forgets hosts, and the one who creates the buckets and the stream. */
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
				// Sweeps what is left of removed rules.
				`$JS.API.STREAM.PURGE.${streamOf(buckets.rules)}`,
				// The client asks once whether the account has JetStream.
				"$JS.API.INFO",
				...shared.flatMap(readBucket),
				kvSubject(buckets.rules, ">"),
				kvSubject(buckets.settings, ">"),
				// Removes the record of a host that is gone.
				kvSubject(buckets.hosts, ">"),
				// GET /v1/stats and /metrics ask the aggregator.
				requests.statsGet,
				// After a loss: what hosts hold.
				hostHeldSubject("*"),
				hostAcceptSubject("*"),
				// Replaces one worker of a host.
				hostRestartSubject("*"),
				// Before a host is forgotten.
				keepLastSubject("*"),
				ruleEventSubject("*", "*"),
				hostEventSubject("*", "appeared"),
				hostEventSubject("*", "gone"),
				hostEventSubject("*", "forgotten"),
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
				requests.hostForget,
				requests.workerList,
				requests.workerRestart,
				requests.logLevel,
				requests.clusterRecover,
				applyUploadSubject("*"),
				discoverySubjects,
				inboxOf("control-api"),
			],
		},
		allowResponses: true,
	};
}

/** Reads rules, hosts and counters; keeps what hosts counted, and publishes statistics. No consumer on the counters (ADR 0020). */
function statsAggregator(): Permissions {
	return {
		publish: {
			allow: [
				...shared.flatMap(readBucket),
				...readBucket(buckets.figures),
				kvSubject(buckets.figures, ">"),
				`$JS.API.STREAM.INFO.${countersStream}`,
				`$JS.API.STREAM.MSG.GET.${countersStream}`,
				statsSubject("*"),
				statsJsonSubject("*"),
				// Who listens to them (ADR 0117).
				connectionsSubject,
				accountSubject,
			],
			// `*` matches the request subject as well, where only requesters speak.
			deny: [requests.statsGet],
		},
		subscribe: {
			allow: [
				countersSubjects,
				requests.statsGet,
				endedRunSubject("*"),
				keepLastSubject("*"),
				discoverySubjects,
				inboxOf("stats-aggregator"),
			],
		},
		allowResponses: true,
	};
}

/** Reads what its host should do and where others stand; writes its own host's record. */
function supervisor(host: string): Permissions {
	return {
		publish: {
			allow: [
				...shared.flatMap(readBucket),
				kvSubject(buckets.hosts, host),
				// What earlier runs of its up counted (ADR 0126).
				endedRunSubject(host),
				ruleStateEventSubject(host, "*"),
				workerEventSubject(host, "*"),
			],
		},
		subscribe: { allow: [hostSubjects(host), inboxOf(hostConnectionName("supervisor", host))] },
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

/** People with the operator's file: every request, no direct access to a bucket. */
function operator(): Permissions {
	return {
		publish: { allow: [...Object.values(requests), applyUploadSubject("*"), discoverySubjects] },
		subscribe: allInboxesBut("operator"),
		allowResponses: false,
	};
}

/** Programs: rules and figures. What runs how (workers, log levels, lost rules) is people's. */
function orchestrator(): Permissions {
	const { rulePut, ruleGet, ruleList, ruleRemove, ruleApply, hostList, workerList, statsGet } = requests;
	const asks = [rulePut, ruleGet, ruleList, ruleRemove, ruleApply, hostList, workerList, statsGet];
	return {
		publish: { allow: [...asks, applyUploadSubject("*"), discoverySubjects] },
		subscribe: allInboxesBut(),
		allowResponses: false,
	};
}

/** Members of group sluice: what only reads. */
function reader(host: string): Permissions {
	const { ruleGet, ruleList, hostList, workerList, statsGet } = requests;
	return {
		publish: { allow: [ruleGet, ruleList, hostList, workerList, statsGet, discoverySubjects] },
		subscribe: {
			allow: [...watched, inboxOf(hostConnectionName("reader", host))],
			deny: [requests.statsGet],
		},
		allowResponses: false,
	};
}

/** `nats req` from a shell, and clients in other languages, take a random inbox: all but those of known identities. */
function allInboxesBut(own?: IdentityName): Permissions["subscribe"] {
	return {
		allow: [...watched, "_INBOX.>"],
		deny: [requests.statsGet, ...identityNames.filter((name) => name !== own).map(inboxOf)],
	};
}

function inboxOf(name: string): string {
	return `_INBOX.${name}.>`;
}

function streamOf(bucket: string): string {
	return `KV_${bucket}`;
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
