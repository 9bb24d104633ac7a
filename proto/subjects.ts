/**
 * The one place that spells NATS subjects, buckets and streams.
 * Host ids and rule names are single subject tokens: [a-z0-9][a-z0-9-]{0,62}.
 */

/** Raised when a message changes in a way that an older reader would misread. */
export const PROTOCOL_VERSION = 2;

export const ROOT = "sluice.v1";

export const buckets = {
	/** Desired rules: key = rule name, value = StoredRule. Only control-api creates and writes it. */
	rules: "sluice_rules",
	/** Observed state: key = host id, value = HostRecord. Written by that host's supervisor. */
	hosts: "sluice_hosts",
	/** Cluster-wide settings: key = a name of `settingKeys`. Only control-api writes it. */
	settings: "sluice_settings",
	/**
	 * What hosts counted that nobody publishes any more: key = keptFiguresKey(), value = KeptFigures. Only stats-aggregators
	 * write it.
	 */
	figures: "sluice_figures",
} as const;

/** Where nats-server takes what a bucket holds under a key; "*" and ">" as in every subject. */
export function kvSubject(bucket: string, key: string): string {
	return `$KV.${bucket}.${key}`;
}

/** A host's figures lie in so many parts, by the rules' uids: each is far smaller than a message may be. */
export const KEPT_PARTS = 64;

export function keptPart(uid: string): number {
	// Uids are random.
	return Number.parseInt(uid.slice(0, 2), 16) % KEPT_PARTS;
}

export function keptFiguresKey(host: string, part: number): string {
	return `${host}.${part}`;
}

/** So many runs of `up` that ended unheard a host remembers. */
export const ENDED_RUNS = 8;

export const settingKeys = {
	/** Value = LogLevels. */
	logLevels: "log_levels",
} as const;

/** Key under which a bucket's stream metadata holds the cluster's id. */
export const CLUSTER_ID_METADATA = "sluice_cluster_id";
/** The same of the bucket of rules: the PROTOCOL_VERSION of whoever writes it. */
export const PROTOCOL_METADATA = "sluice_protocol";

/**
 * The same of the bucket of rules: a sequence. Whatever stands at it or before is no more, also when its server finds it
 * again: what was removed before is in the stream no longer, and what is there was written anew behind it.
 */
export const SWEPT_METADATA = "sluice_swept";

/** Last value per subject of every worker's counters; memory. Created by control-api. */
export const countersStream = "sluice_counters";
export const countersSubjects = `${ROOT}.counters.>`;

export function countersSubject(host: string, worker: number, chunk: number): string {
	const first = `${ROOT}.counters.${host}.${worker}`;
	return chunk === 0 ? first : `${first}.${chunk}`;
}

/** What the workers of one host may publish. */
export function hostCountersSubjects(host: string): string {
	return `${ROOT}.counters.${host}.>`;
}

/** Request/reply endpoints, answered in a queue group. */
export const requests = {
	rulePut: `${ROOT}.rule.put`,
	ruleGet: `${ROOT}.rule.get`,
	ruleList: `${ROOT}.rule.list`,
	ruleRemove: `${ROOT}.rule.remove`,
	ruleApply: `${ROOT}.rule.apply`,
	hostList: `${ROOT}.host.list`,
	hostForget: `${ROOT}.host.forget`,
	workerList: `${ROOT}.worker.list`,
	workerRestart: `${ROOT}.worker.restart`,
	logLevel: `${ROOT}.log.level`,
	statsGet: `${ROOT}.stats.get`,
	clusterRecover: `${ROOT}.cluster.recover`,
} as const;

/** Discovery of the NATS services framework. */
export const discoverySubjects = "$SRV.>";

/** @param service undefined: every service answers. */
export function discoverySubject(verb: "PING" | "INFO" | "STATS", service?: string): string {
	return service === undefined ? `$SRV.${verb}` : `$SRV.${verb}.${service}`;
}

/** Where the further parts of one chunked apply go: to the instance that took the first. */
export function applyUploadSubject(instance: string): string {
	return `${ROOT}.apply.${instance}`;
}

/** Asked of nats-server: the account's connections, and what they subscribe to. */
export const connectionsSubject = "$SYS.REQ.ACCOUNT.PING.CONNZ";

/** Likewise: how many of what kind there are. */
export const accountSubject = "$SYS.REQ.ACCOUNT.PING.STATZ";

/** Published each second by every aggregator to whoever listens, one message per rule: RuleStats in protobuf. */
export function statsSubject(rule: string): string {
	return `${ROOT}.stats.${rule}`;
}

/** The same in JSON, for whoever watches from a shell or has no generated code. */
export function statsJsonSubject(rule: string): string {
	return `${ROOT}.stats.${rule}.json`;
}

export const statsSubjects = `${ROOT}.stats.>`;

/** A run of the host's `up` that ended; EndedRunRequest, answered by any aggregator. */
export function endedRunSubject(host: string): string {
	return `${ROOT}.figures.${host}.ended`;
}

/** What the host said last is to be kept; KeepLastRequest, answered by any aggregator. */
export function keepLastSubject(host: string): string {
	return `${ROOT}.figures.${host}.last`;
}

/** The host that either of them speaks of. */
export function hostOfFigures(subject: string): string {
	return subject.split(".")[3] ?? "";
}

/** Commands to one host. */
export function hostSubjects(host: string): string {
	return `${ROOT}.host.${host}.>`;
}

/** The rules one host holds though the bucket lacks them; HeldRulesRequest. */
export function hostHeldSubject(host: string): string {
	return `${ROOT}.host.${host}.held`;
}

/** One host shall hold them no longer; AcceptRequest. */
export function hostAcceptSubject(host: string): string {
	return `${ROOT}.host.${host}.accept`;
}

/** One host shall replace one of its workers; RestartWorkerRequest. */
export function hostRestartSubject(host: string): string {
	return `${ROOT}.host.${host}.restart`;
}

/** Events, in JSON; whoever sees it publishes it. */
export const eventSubjects = `${ROOT}.event.>`;

/** A rule was written; RuleChanged, by the control-api that wrote it. */
export function ruleEventSubject(rule: string, change: string): string {
	return `${ROOT}.event.rule.${rule}.${change}`;
}

/** What a host makes of a rule; RuleStateChanged, by its supervisor. */
export function ruleStateEventSubject(host: string, rule: string): string {
	return `${ROOT}.event.host.${host}.rule.${rule}`;
}

/** WorkerChanged, by the host's supervisor. */
export function workerEventSubject(host: string, worker: number | "*"): string {
	return `${ROOT}.event.host.${host}.worker.${worker}`;
}

/** HostChanged, by every control-api. */
export function hostEventSubject(host: string, change: "appeared" | "gone" | "forgotten"): string {
	return `${ROOT}.event.host.${host}.${change}`;
}

/** Names connections, and with them inboxes, of what each host has its own of: no host hears another's answers. */
export function hostConnectionName(identity: "supervisor" | "reader", host: string): string {
	return `${identity}.${host}`;
}
