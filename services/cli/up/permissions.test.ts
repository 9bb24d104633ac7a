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
import {
	buckets,
	countersStream,
	countersSubjects,
	discoverySubject,
	hostConnectionName,
	kvSubject,
} from "@sluice/proto/subjects";
import { natsConf } from "./nats-conf.ts";
import { identityNames, permissionsOf, type Role } from "./permissions.ts";

/** A loaded machine takes its time. */
const OPTIONS = { timeout: 20_000 };
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
		await create(nc, `KV_${bucket}`, [kvSubject(bucket, ">")]);
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
	const answer = await nc.request(`$JS.API.STREAM.CREATE.${name}`, JSON.stringify(config), OPTIONS);
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

/** Whether a subject with wildcards covers another. */
function matches(pattern: string, subject: string): boolean {
	const tokens = subject.split(".");
	const wanted = pattern.split(".");
	const tail = wanted.at(-1) === ">";
	if (tail ? tokens.length < wanted.length : tokens.length !== wanted.length) return false;
	return wanted.every((token, k) => token === "*" || token === ">" || token === tokens[k]);
}

/** Who may do it; everybody else is tried, and must not. */
type Row = readonly [subject: string, ...may: Who[]];

const people: Who[] = ["operator", "orchestrator"];
const askers: Who[] = [...people, "reader", "reader of relay-b"];
const supervisors: Who[] = ["supervisor", "supervisor of relay-b"];
const trusted: Who[] = ["control-api", "stats-aggregator", ...supervisors];

const readersOf = (bucket: string): Who[] => (bucket === buckets.figures ? ["stats-aggregator"] : trusted);
/** Who creates it looks whether it is there. */
const inspectorsOf = (bucket: string): Who[] =>
	bucket === buckets.figures ? ["control-api", "stats-aggregator"] : trusted;

const publications: Row[] = [
	["sluice.v1.rule.put", ...people],
	["sluice.v1.rule.remove", ...people],
	["sluice.v1.rule.apply", ...people],
	["sluice.v1.apply.x", ...people],
	["sluice.v1.rule.get", ...askers],
	["sluice.v1.rule.list", ...askers],
	["sluice.v1.host.list", ...askers],
	["sluice.v1.worker.list", ...askers],
	["sluice.v1.stats.get", "control-api", ...askers],
	[discoverySubject("PING"), ...askers],
	[discoverySubject("INFO", "sluice-control-api"), ...askers],
	[discoverySubject("STATS"), ...askers],
	["sluice.v1.log.level", "operator"],
	["sluice.v1.worker.restart", "operator"],
	["sluice.v1.cluster.recover", "operator"],
	["sluice.v1.host.forget", "operator"],
	[`sluice.v1.host.${HOST}.held`, "control-api"],
	[`sluice.v1.host.${OTHER_HOST}.accept`, "control-api"],
	[`sluice.v1.host.${OTHER_HOST}.restart`, "control-api"],
	[`sluice.v1.host.${HOST}.x`],
	["sluice.v1.stats.video", "stats-aggregator"],
	["sluice.v1.stats.video.json", "stats-aggregator"],
	["sluice.v1.event.rule.video.added", "control-api"],
	[`sluice.v1.event.host.${HOST}.gone`, "control-api"],
	[`sluice.v1.event.host.${OTHER_HOST}.appeared`, "control-api"],
	[`sluice.v1.event.host.${OTHER_HOST}.forgotten`, "control-api"],
	[`sluice.v1.event.host.${HOST}.rule.video`, "supervisor"],
	[`sluice.v1.event.host.${OTHER_HOST}.rule.video`, "supervisor of relay-b"],
	[`sluice.v1.event.host.${HOST}.worker.0`, "supervisor"],
	[`sluice.v1.event.host.${OTHER_HOST}.worker.0`, "supervisor of relay-b"],
	["sluice.v1.event.x"],
	[`sluice.v1.counters.${HOST}.0`, "worker"],
	[`sluice.v1.counters.${HOST}.0.1`, "worker"],
	[`sluice.v1.counters.${OTHER_HOST}.0`, "worker of relay-b"],
	[kvSubject(buckets.rules, "video"), "control-api"],
	[kvSubject(buckets.settings, "log_levels"), "control-api"],
	[kvSubject(buckets.hosts, HOST), "control-api", "supervisor"],
	[kvSubject(buckets.hosts, OTHER_HOST), "control-api", "supervisor of relay-b"],
	[kvSubject(buckets.figures, `${HOST}.0`), "stats-aggregator"],
	[kvSubject(buckets.figures, `${HOST}.0.0`), "stats-aggregator"],
	[`sluice.v1.figures.${HOST}.ended`, "supervisor"],
	[`sluice.v1.figures.${OTHER_HOST}.ended`, "supervisor of relay-b"],
	[`sluice.v1.figures.${HOST}.last`, "control-api"],
	...Object.values(buckets).flatMap((bucket): Row[] => [
		[`$JS.API.STREAM.INFO.KV_${bucket}`, ...inspectorsOf(bucket)],
		[`$JS.API.CONSUMER.CREATE.KV_${bucket}.x.${kvSubject(bucket, ">")}`, ...readersOf(bucket)],
		[`$JS.API.STREAM.UPDATE.KV_${bucket}`, "control-api"],
		[`$JS.API.STREAM.DELETE.KV_${bucket}`],
		[`$JS.API.STREAM.PURGE.KV_${bucket}`, ...(bucket === buckets.rules ? (["control-api"] as const) : [])],
		[`$JS.API.STREAM.MSG.DELETE.KV_${bucket}`],
		[`$JS.API.STREAM.SNAPSHOT.KV_${bucket}`],
		[`$JS.API.STREAM.RESTORE.KV_${bucket}`],
	]),
	["$JS.API.STREAM.MSG.GET.sluice_counters", "stats-aggregator"],
	["$JS.API.CONSUMER.CREATE.sluice_counters.x.y"],
	["$JS.API.STREAM.DELETE.sluice_counters"],
	["$JS.API.STREAM.PURGE.sluice_counters"],
	["$JS.API.STREAM.CREATE.other"],
	["$JS.API.CONSUMER.CREATE.other.x"],
	["$JS.API.STREAM.LIST"],
	["$JS.API.ACCOUNT.PURGE.SLUICE"],
	["$SYS.REQ.ACCOUNT.PING.CONNZ", "stats-aggregator"],
	["$SYS.REQ.ACCOUNT.PING.STATZ", "stats-aggregator"],
	["$SYS.REQ.SERVER.PING.CONNZ"],
	["$SYS.REQ.SERVER.PING"],
	["$SYS.REQ.ACCOUNT.SLUICE.CONNZ"],
	["_INBOX.control-api.x"],
	["_INBOX.operator.x"],
	["anything"],
];

const watchers: Who[] = [...people, "reader", "reader of relay-b"];

const subscriptions: Row[] = [
	["sluice.v1.rule.put", "control-api"],
	["sluice.v1.apply.x", "control-api"],
	["sluice.v1.stats.get", "stats-aggregator"],
	["sluice.v1.figures.*.ended", "stats-aggregator"],
	[`sluice.v1.figures.${HOST}.last`, "stats-aggregator"],
	[discoverySubject("PING"), "control-api", "stats-aggregator"],
	["sluice.v1.stats.>", ...watchers],
	["sluice.v1.stats.*.json", ...watchers],
	["sluice.v1.stats.video", ...watchers],
	["sluice.v1.event.>", ...watchers],
	["sluice.v1.counters.>", "stats-aggregator"],
	[`sluice.v1.counters.${HOST}.0`, "stats-aggregator"],
	[`sluice.v1.host.${HOST}.>`, "supervisor"],
	[`sluice.v1.host.${OTHER_HOST}.restart`, "supervisor of relay-b"],
	["sluice.v1.host.>"],
	["sluice.v1.>"],
	[">"],
	["$KV.>"],
	[kvSubject(buckets.rules, "video")],
	[kvSubject(buckets.hosts, "*")],
	["$JS.>"],
	["$SYS.>"],
	["_INBOX.>", ...people],
	["_INBOX.Rx3kq.*", ...people],
	["_INBOX.orchestrator-robot.x", ...people],
	["_INBOX.operator.x", "operator"],
	["_INBOX.control-api.x.*", "control-api"],
	["_INBOX.stats-aggregator.x", "stats-aggregator"],
	["_INBOX.supervisor.>"],
	[`_INBOX.supervisor.${HOST}.x`, "supervisor"],
	[`_INBOX.supervisor.${OTHER_HOST}.x`, "supervisor of relay-b"],
	["_INBOX.reader.>"],
	[`_INBOX.reader.${HOST}.x`, "reader"],
	[`_INBOX.reader.${OTHER_HOST}.x`, "reader of relay-b"],
	["_INBOX.worker.x"],
];

describe("permissions on a real nats-server", () => {
	for (const [who] of everybody) {
		for (const [what, rows] of [
			["publish", publications],
			["subscribe", subscriptions],
		] as const) {
			test(`${who} may ${what} what is its own, and nothing of anybody else's`, async () => {
				const subjects = rows.map(([subject]) => subject);
				const own = rows.filter(([, ...may]) => may.includes(who)).map(([subject]) => subject);
				expect(await allowed(who, what, subjects)).toEqual(own);
			});
		}
	}

	test("every subject that anybody is granted has a row", () => {
		const rowed = (rows: Row[], granted: string) =>
			rows.some(([subject]) => matches(granted, subject) || matches(subject, granted));
		for (const [who, role, host] of everybody) {
			const { publish, subscribe } = permissionsOf(role, host);
			const missing = [
				...publish.allow.filter((granted) => !rowed(publications, granted)),
				...(subscribe.allow ?? []).filter((granted) => !rowed(subscriptions, granted)),
			];
			expect({ who, missing: missing.filter((granted) => !granted.startsWith("$JS.")) }).toEqual({
				who,
				missing: [],
			});
		}
	});

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
		await expect(asker.request("sluice.v1.stats.get", "", OPTIONS)).rejects.toThrow("no responders");
		const aggregator = await connectAs("stats-aggregator");
		aggregator.publish("sluice.v1.stats.video.json");
		await until(() => heard.length > 0);
		expect(heard).toEqual(["sluice.v1.stats.video.json"]);
	});

	test("a bucket that a credential may not read is said once, however often it is tried", async () => {
		const nc = await connectAs("worker");
		const attempts = new Set<string>();
		const statuses = nc.status();
		void (async () => {
			for await (const status of statuses) if (status.type === "error") attempts.add(status.error.message);
		})();
		const troubles: string[] = [];
		const stop = new AbortController();
		const following = followBucket(nc, buckets.rules, StoredRuleSchema, {
			signal: stop.signal,
			onTrouble: (message) => troubles.push(message),
		});
		// The server names each attempt's inbox.
		await until(() => attempts.size > 1);
		stop.abort();
		expect(following).rejects.toThrow("stopped");
		expect(troubles).toEqual([
			expect.stringMatching(/^bucket sluice_rules cannot be read: .*sluice credentials$/),
		]);
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
		await api.request("$JS.API.STREAM.INFO.KV_sluice_rules", "", OPTIONS);
		const aggregator = await connectAs("stats-aggregator");
		aggregator.subscribe("sluice.v1.stats.get", {
			callback: (_, message) => {
				message.respond("ok");
			},
		});
		await aggregator.flush();
		// What the operator itself is answered comes after what it must not hear.
		expect((await spy.request("sluice.v1.stats.get", "", OPTIONS)).string()).toBe("ok");
		await until(() => heard.length > 0);
		expect(heard.filter((subject) => !subject.startsWith("_INBOX.operator."))).toEqual([]);
	});
});
