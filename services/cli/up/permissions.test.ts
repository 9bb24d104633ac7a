import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createUser } from "@nats-io/nkeys";
import type { NatsConnection } from "@nats-io/transport-node";
import { connectNats } from "@sluice/lib/connect";
import { followBucket } from "@sluice/lib/kv-snapshot";
import { findNatsServer, freePort } from "@sluice/lib/testing/nats-server";
import { until } from "@sluice/lib/testing/until";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import { buckets, countersStream, countersSubjects, hostConnectionName } from "@sluice/proto/subjects";
import { natsConf } from "./nats-conf.ts";
import { identityNames, permissionsOf, type Role } from "./permissions.ts";

const HOST = "relay-a";
const OTHER_HOST = "relay-b";

/** Whose credential it is: a role on the cluster's first host, or on the one that joined. */
type Who = Role | `${Role} of relay-b`;

/** All that one server lets in: what `up` made keys for, and what `sluice credentials` did. */
const everybody: [Who, Role, string][] = [
	...identityNames.map((name): [Who, Role, string] => [name, name, HOST]),
	["supervisor of relay-b", "supervisor", OTHER_HOST],
	["worker of relay-b", "worker", OTHER_HOST],
	["reader of relay-b", "reader", OTHER_HOST],
	["orchestrator", "orchestrator", "robot"],
];

/** A real nats-server with the configuration that `up` writes. */
let folder: string;
let server: Bun.Subprocess;
let url: string;
const seeds = new Map<Who, string>();
const open: NatsConnection[] = [];

beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "sluice-permissions-"));
	const listen = `127.0.0.1:${await freePort()}`;
	const users = everybody.map(([who, role, host]) => {
		const key = createUser();
		seeds.set(who, new TextDecoder().decode(key.getSeed()));
		return { name: who, nkey: key.getPublicKey(), permissions: permissionsOf(role, host) };
	});
	await writeFile(join(folder, "nats.conf"), natsConf({ listen, serverName: "test", users }));
	server = Bun.spawn([findNatsServer(), "-c", "nats.conf"], {
		cwd: folder,
		stdio: ["ignore", "ignore", "ignore"],
	});
	url = `nats://${listen}`;
	const nc = await connectAs("control-api");
	for (const bucket of Object.values(buckets)) {
		await create(nc, `KV_${bucket}`, [`$KV.${bucket}.>`]);
	}
	await create(nc, countersStream, [countersSubjects]);
});

afterAll(async () => {
	await Promise.all(open.map((nc) => nc.close()));
	server.kill();
	await server.exited;
	await rm(folder, { recursive: true });
});

async function create(nc: NatsConnection, name: string, subjects: string[]): Promise<void> {
	const config = { name, subjects, max_msgs_per_subject: 1, allow_direct: true, allow_rollup_hdrs: true };
	const answer = await nc.request(`$JS.API.STREAM.CREATE.${name}`, JSON.stringify(config));
	expect(answer.json<{ error?: unknown }>().error).toBeUndefined();
}

async function connectAs(who: Who): Promise<NatsConnection> {
	const [, role, host] = everybody.find(([each]) => each === who) ?? [];
	const ofHost = role === "supervisor" || role === "reader";
	const name = ofHost ? hostConnectionName(role, host ?? "") : who;
	const nc = await connectNats({ url, name, credentials: { kind: "nkey", seed: seeds.get(who) ?? "" } });
	open.push(nc);
	return nc;
}

/** Which of these the server lets the identity do; it answers a violation before the flush. */
async function allowed(identity: Who, what: "publish" | "subscribe", subjects: string[]): Promise<string[]> {
	const nc = await connectAs(identity);
	const refused = new Set<string>();
	const statuses = nc.status();
	void (async () => {
		for await (const status of statuses) {
			if (status.type === "error" && "subject" in status.error) refused.add(String(status.error.subject));
		}
	})();
	for (const subject of subjects) {
		if (what === "publish") nc.publish(subject);
		else nc.subscribe(subject, { callback: () => {} });
	}
	await nc.flush();
	await nc.flush();
	await nc.close();
	return subjects.filter((subject) => !refused.has(subject));
}

/** The server takes all of `may` and none of `mayNot`. */
function check(identity: Who, what: "publish" | "subscribe", may: string[], mayNot: string[]): void {
	test(`${identity} may ${what} what it needs and nothing else`, async () => {
		expect(await allowed(identity, what, [...may, ...mayNot])).toEqual(may);
	});
}

/** What nobody but the one who owns it may do. */
const dangerous = [
	"$JS.API.STREAM.DELETE.KV_sluice_rules",
	"$JS.API.STREAM.PURGE.KV_sluice_rules",
	"$JS.API.STREAM.CREATE.other",
	"$JS.API.CONSUMER.CREATE.other.x",
	"$JS.API.STREAM.MSG.DELETE.KV_sluice_rules",
	"$SYS.REQ.SERVER.PING",
	"_INBOX.control-api.x",
	"anything",
];
const rulePut = "sluice.v1.rule.put";
const rulesKey = "$KV.sluice_rules.video";
const hostsKey = `$KV.sluice_hosts.${HOST}`;
const othersKey = `$KV.sluice_hosts.${OTHER_HOST}`;
const counters = `sluice.v1.counters.${HOST}.0`;
const othersCounters = `sluice.v1.counters.${OTHER_HOST}.0`;
const readRules = "$JS.API.CONSUMER.CREATE.KV_sluice_rules.x.$KV.sluice_rules.>";
const readCounters = "$JS.API.CONSUMER.CREATE.sluice_counters.x.y";

describe("permissions on a real nats-server", () => {
	check(
		"control-api",
		"publish",
		[
			rulesKey,
			"$KV.sluice_settings.log_levels",
			hostsKey,
			readRules,
			"sluice.v1.stats.get",
			"sluice.v1.event.rule.video.added",
			`sluice.v1.event.host.${OTHER_HOST}.gone`,
			`sluice.v1.host.${OTHER_HOST}.held`,
			`sluice.v1.host.${OTHER_HOST}.accept`,
		],
		[
			...[counters, readCounters, rulePut, "sluice.v1.stats.video", "sluice.v1.stats.video.json"],
			...[`sluice.v1.event.host.${HOST}.rule.video`, `sluice.v1.event.host.${HOST}.worker.0`],
			...dangerous,
		],
	);
	check(
		"control-api",
		"subscribe",
		[rulePut, "sluice.v1.apply.x", "$SRV.PING", "_INBOX.control-api.x.*"],
		["sluice.v1.stats.get", "sluice.v1.event.>", counters, ">", "$KV.>", "_INBOX.operator.>"],
	);
	check(
		"stats-aggregator",
		"publish",
		[
			"sluice.v1.stats.video",
			"sluice.v1.stats.video.json",
			readRules,
			"$JS.API.STREAM.MSG.GET.sluice_counters",
		],
		[
			...[rulesKey, hostsKey, counters, readCounters, rulePut, "sluice.v1.stats.get"],
			...["sluice.v1.event.rule.video.added", `sluice.v1.event.host.${HOST}.gone`, ...dangerous],
		],
	);
	check(
		"stats-aggregator",
		"subscribe",
		["sluice.v1.counters.>", "sluice.v1.stats.get", "$SRV.INFO.sluice-stats-aggregator"],
		[rulePut, "sluice.v1.event.>", ">", "$KV.>", "_INBOX.control-api.>"],
	);
	check(
		"supervisor",
		"publish",
		[
			...[hostsKey, readRules],
			...[`sluice.v1.event.host.${HOST}.rule.video`, `sluice.v1.event.host.${HOST}.worker.0`],
		],
		[
			`sluice.v1.event.host.${OTHER_HOST}.rule.video`,
			`sluice.v1.event.host.${OTHER_HOST}.worker.0`,
			`sluice.v1.event.host.${HOST}.gone`,
			"sluice.v1.event.rule.video.added",
			rulesKey,
			othersKey,
			"$KV.sluice_settings.log_levels",
			counters,
			readCounters,
			"$JS.API.STREAM.MSG.GET.sluice_counters",
			rulePut,
			...dangerous,
		],
	);
	check(
		"supervisor",
		"subscribe",
		[`sluice.v1.host.${HOST}.>`, `_INBOX.supervisor.${HOST}.x`],
		[
			"_INBOX.supervisor.>",
			`_INBOX.supervisor.${OTHER_HOST}.x`,
			`sluice.v1.host.${OTHER_HOST}.>`,
			"sluice.v1.host.>",
			rulePut,
			counters,
			">",
			"_INBOX.operator.>",
		],
	);
	check(
		"worker",
		"publish",
		[counters, `${counters}.1`],
		[
			othersCounters,
			rulesKey,
			hostsKey,
			readRules,
			rulePut,
			"sluice.v1.stats.video",
			"sluice.v1.event.x",
			...dangerous,
		],
	);
	check(
		"worker",
		"subscribe",
		[],
		[counters, rulePut, ">", "_INBOX.worker.x", `sluice.v1.host.${HOST}.>`, "$KV.>"],
	);
	check(
		"operator",
		"publish",
		[rulePut, "sluice.v1.rule.list", "sluice.v1.stats.get", "sluice.v1.log.level", "$SRV.PING"],
		[
			rulesKey,
			hostsKey,
			counters,
			readRules,
			`sluice.v1.host.${HOST}.x`,
			"sluice.v1.stats.video",
			...dangerous,
		],
	);
	check(
		"operator",
		"subscribe",
		["sluice.v1.stats.>", "sluice.v1.event.>", "_INBOX.operator.x", "_INBOX.Rx3kq.*"],
		["sluice.v1.stats.get", rulePut, counters, ">", "$KV.>", "_INBOX.control-api.>", "_INBOX.supervisor.x"],
	);

	check(
		"reader",
		"publish",
		[
			"sluice.v1.rule.get",
			"sluice.v1.rule.list",
			"sluice.v1.host.list",
			"sluice.v1.worker.list",
			"sluice.v1.stats.get",
		],
		[
			rulePut,
			"sluice.v1.rule.remove",
			"sluice.v1.rule.apply",
			"sluice.v1.apply.x",
			"sluice.v1.log.level",
			rulesKey,
			readRules,
			counters,
			...dangerous,
		],
	);
	check(
		"reader",
		"subscribe",
		["sluice.v1.stats.>", "sluice.v1.event.>", `_INBOX.reader.${HOST}.x`],
		[
			"sluice.v1.stats.get",
			"_INBOX.reader.>",
			`_INBOX.reader.${OTHER_HOST}.x`,
			rulePut,
			counters,
			">",
			"$KV.>",
			"_INBOX.>",
			"_INBOX.operator.x",
		],
	);

	check(
		"supervisor of relay-b",
		"publish",
		[othersKey, readRules, `sluice.v1.event.host.${OTHER_HOST}.rule.video`],
		[
			`sluice.v1.event.host.${HOST}.rule.video`,
			hostsKey,
			rulesKey,
			counters,
			othersCounters,
			rulePut,
			"sluice.v1.host.list",
			"sluice.v1.stats.video",
		],
	);
	check(
		"supervisor of relay-b",
		"subscribe",
		[`sluice.v1.host.${OTHER_HOST}.restart`, `_INBOX.supervisor.${OTHER_HOST}.x`],
		[`sluice.v1.host.${HOST}.restart`, `_INBOX.supervisor.${HOST}.x`, "_INBOX.>", "$KV.sluice_hosts.*"],
	);
	check(
		"worker of relay-b",
		"publish",
		[othersCounters],
		[counters, othersKey, hostsKey, readRules, rulePut, "sluice.v1.host.list", ...dangerous],
	);
	check("worker of relay-b", "subscribe", [], [othersCounters, "sluice.v1.stats.video", "_INBOX.worker.x"]);
	check(
		"reader of relay-b",
		"publish",
		["sluice.v1.rule.list", "sluice.v1.host.list"],
		[rulePut, "sluice.v1.rule.apply", othersKey, othersCounters, readRules, ...dangerous],
	);
	check(
		"reader of relay-b",
		"subscribe",
		["sluice.v1.stats.video", `_INBOX.reader.${OTHER_HOST}.x`],
		[`_INBOX.reader.${HOST}.x`, "_INBOX.operator.x", "_INBOX.>", counters],
	);
	check(
		"orchestrator",
		"publish",
		[
			rulePut,
			"sluice.v1.rule.get",
			"sluice.v1.rule.list",
			"sluice.v1.rule.remove",
			"sluice.v1.rule.apply",
			"sluice.v1.apply.x",
			"sluice.v1.host.list",
			"sluice.v1.worker.list",
			"sluice.v1.stats.get",
			"$SRV.INFO",
		],
		[
			"sluice.v1.log.level",
			"sluice.v1.worker.restart",
			"sluice.v1.cluster.recover",
			`sluice.v1.host.${HOST}.held`,
			`sluice.v1.host.${HOST}.restart`,
			"sluice.v1.stats.video",
			"sluice.v1.event.rule.video.added",
			`sluice.v1.event.host.${HOST}.rule.video`,
			rulesKey,
			hostsKey,
			counters,
			readRules,
			...dangerous,
		],
	);
	check(
		"orchestrator",
		"subscribe",
		[
			"sluice.v1.stats.>",
			"sluice.v1.stats.*.json",
			"sluice.v1.event.>",
			"_INBOX.Rx3kq.*",
			"_INBOX.orchestrator-robot.x",
		],
		[
			"sluice.v1.stats.get",
			rulePut,
			counters,
			`sluice.v1.host.${HOST}.>`,
			">",
			"$KV.>",
			"_INBOX.operator.x",
			"_INBOX.control-api.x",
		],
	);

	test("without a key nobody gets in", async () => {
		const refused = connectNats({ url, name: "nobody", waitOnFirstConnect: false });
		await expect(refused).rejects.toMatchObject({ code: "unauthenticated" });
		const seed = new TextDecoder().decode(createUser().getSeed());
		const stranger = connectNats({
			url,
			name: "stranger",
			credentials: { kind: "nkey", seed },
			waitOnFirstConnect: false,
		});
		await expect(stranger).rejects.toMatchObject({ code: "unauthenticated" });
	});

	for (const reader of ["control-api", "stats-aggregator", "supervisor", "supervisor of relay-b"] as const) {
		test(`${reader} can follow a bucket with what it was given`, async () => {
			const complaints: string[] = [];
			const snapshot = await followBucket(await connectAs(reader), buckets.rules, StoredRuleSchema, {
				onTrouble: (message) => complaints.push(message),
			});
			expect(snapshot.current).toBeTrue();
			expect(complaints).toEqual([]);
			snapshot.stop();
		});
	}

	test("whoever watches all statistics hears no requests for them, and seems to answer none", async () => {
		const spy = await connectAs("orchestrator");
		const heard: string[] = [];
		spy.subscribe("sluice.v1.stats.>", { callback: (_, { subject }) => void heard.push(subject) });
		await spy.flush();
		const asker = await connectAs("reader");
		await expect(asker.request("sluice.v1.stats.get")).rejects.toThrow("no responders");
		const aggregator = await connectAs("stats-aggregator");
		aggregator.publish("sluice.v1.stats.video.json");
		await until(() => heard.length > 0);
		expect(heard).toEqual(["sluice.v1.stats.video.json"]);
	});

	test("a wildcard subscription of the operator does not hear the services' inboxes", async () => {
		const spy = await connectAs("operator");
		const heard: string[] = [];
		spy.subscribe("_INBOX.>", {
			callback: (_, message) => {
				heard.push(message.subject);
			},
		});
		await spy.flush();
		const api = await connectAs("control-api");
		await api.request("$JS.API.STREAM.INFO.KV_sluice_rules");
		const aggregator = await connectAs("stats-aggregator");
		aggregator.subscribe("sluice.v1.stats.get", {
			callback: (_, message) => {
				message.respond("ok");
			},
		});
		await aggregator.flush();
		// What the operator itself is answered comes after what it must not hear.
		expect((await spy.request("sluice.v1.stats.get")).string()).toBe("ok");
		await until(() => heard.length > 0);
		expect(heard.filter((subject) => !subject.startsWith("_INBOX.operator."))).toEqual([]);
	});
});
