import { afterEach, beforeEach, expect, test } from "bun:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { headers, type Msg } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { SERVICE_ERROR_CODE_HEADER, SERVICE_ERROR_HEADER } from "@sluice/lib/headers";
import { until } from "@sluice/lib/testing/until";
import {
	AcceptResponseSchema,
	RecoverRequest_Action as Action,
	HeldRulesRequestSchema,
	HeldRulesResponseSchema,
	RecoverRequestSchema,
	RecoverResponseSchema,
} from "@sluice/proto/gen/cluster";
import type { RuleSchema } from "@sluice/proto/gen/rule";
import { hostAcceptSubject, hostHeldSubject, requests } from "@sluice/proto/subjects";
import { exampleRule, type RuleInit, TestCluster } from "../testing/cluster.ts";

let cluster: TestCluster;
let beats: Timer[];

beforeEach(async () => {
	beats = [];
	cluster = await TestCluster.start();
	await cluster.startApi();
});

afterEach(async () => {
	for (const beat of beats) clearInterval(beat);
	await cluster?.stop();
});

type Request = MessageInitShape<typeof RecoverRequestSchema>;

function recover(action: Action, more: Request = {}) {
	const request = { action, ...more };
	return call(
		cluster.nc,
		requests.clusterRecover,
		RecoverRequestSchema,
		RecoverResponseSchema,
		request,
		30_000,
	);
}

interface Held {
	rule: MessageInitShape<typeof RuleSchema>;
	uid: string;
}

/** The same for the same rule and number. */
function held(rule: RuleInit, number = 0): Held {
	const digits = Bun.hash(`${rule.name}`).toString(16).padStart(16, "0").slice(0, 8);
	return { rule, uid: `${digits}-0000-4000-8000-${String(number).padStart(12, "0")}` };
}

interface HolderOptions {
	/** Instead of the rules. */
	onHeld?: (message: Msg) => void;
	onAccept?: (message: Msg) => void;
}

/** A supervisor's side of it; one that has accepted, or finds all of its names stored, is told to by the test. */
async function holder(host: string, rules: Held[], options: HolderOptions = {}): Promise<void> {
	const page = (message: Msg) => {
		const { pageToken } = fromBinary(HeldRulesRequestSchema, message.data);
		const after = rules.findIndex(({ rule }) => (rule.name ?? "") > pageToken);
		// One rule a page.
		const response = {
			rules: after < 0 ? [] : rules.slice(after, after + 1),
			nextPageToken: after < 0 || after + 1 >= rules.length ? "" : (rules[after]?.rule.name ?? ""),
		};
		message.respond(toBinary(HeldRulesResponseSchema, create(HeldRulesResponseSchema, response)));
	};
	const accept = (message: Msg) =>
		message.respond(toBinary(AcceptResponseSchema, create(AcceptResponseSchema)));
	const { onHeld = page, onAccept = accept } = options;
	cluster.nc.subscribe(hostHeldSubject(host), { callback: (_, message) => onHeld(message) });
	cluster.nc.subscribe(hostAcceptSubject(host), { callback: (_, message) => onAccept(message) });
	const beat = () => cluster.writeHost({ host, holding: "the bucket of rules lacks some" });
	await beat();
	// One may be under way when the test ends.
	beats.push(setInterval(() => void beat().catch(() => {}), 500));
}

/** control-api has their records. */
async function seen(count: number): Promise<void> {
	await until(async () => {
		const { held, unheard } = await recover(Action.LOOK);
		return held.length + unheard.length === count;
	});
}

test("a host that holds rules and does not answer is named, and one that was stopped is not asked", async () => {
	await cluster.writeHost({ host: "relay-b", holding: "the bucket of rules lacks some" });
	await seen(1);
	expect(await recover(Action.LOOK)).toMatchObject({
		hosts: [],
		unheard: [{ host: "relay-b", reason: expect.stringContaining("nobody answers"), away: false }],
	});
	await cluster.writeHost({ host: "relay-b", holding: "the bucket of rules lacks some", stopped: true });
	await until(async () => (await recover(Action.LOOK)).unheard[0]?.away === true);
});

test("rule.list warns of hosts that hold rules in the order of their ids", async () => {
	for (const host of ["relay-c", "relay-a", "relay-b"])
		await cluster.writeHost({ host, holding: "the bucket of rules lacks some" });
	await seen(3);
	const listed = await cluster.nc.request(requests.ruleList, "{}", { timeout: 20_000 });
	expect(listed.json<{ warnings: string[] }>().warnings).toEqual(
		["relay-a", "relay-b", "relay-c"].map((host) => `host ${host}: the bucket of rules lacks some`),
	);
});

const audio = held(exampleRule("audio", "239.1.1.1"));

test("hosts that hang, or say what makes no sense, are left out and named; the others' rules are put back", async () => {
	await holder("relay-b", [audio]);
	for (const host of ["relay-c", "relay-f", "relay-g"]) await holder(host, [], { onHeld: () => {} });
	await holder("relay-d", [held(exampleRule("b")), held(exampleRule("a"))], {
		onHeld(message) {
			const rules = [held(exampleRule("b")), held(exampleRule("a"))];
			message.respond(
				toBinary(HeldRulesResponseSchema, create(HeldRulesResponseSchema, { rules, nextPageToken: "b" })),
			);
		},
	});
	// It goes on and on, and says nothing.
	await holder("relay-e", [], {
		onHeld(message) {
			const endless = { rules: [], nextPageToken: "more" };
			message.respond(toBinary(HeldRulesResponseSchema, create(HeldRulesResponseSchema, endless)));
		},
	});
	await seen(6);
	const startMs = performance.now();
	const answer = await recover(Action.RESTORE);
	// All four at once, two seconds each.
	expect(performance.now() - startMs).toBeLessThan(8_000);
	expect(answer).toMatchObject({
		hosts: ["relay-b"],
		restored: ["audio"],
		left: [],
		unheard: [
			{ host: "relay-c", reason: "it has named no rule in 2 s", away: false },
			{ host: "relay-d", reason: expect.stringContaining("in order of their names"), away: false },
			...["relay-e", "relay-f", "relay-g"].map((host) => {
				return { host, reason: "it has named no rule in 2 s", away: false };
			}),
		],
	});
	expect((await cluster.get("audio")).rule?.uid).toBe(audio.uid);
	expect(
		(await recover(Action.RESTORE, { without: ["relay-c", "relay-d", "relay-e", "relay-f", "relay-g"] }))
			.unheard,
	).toEqual([]);
	await expect(recover(Action.RESTORE, { without: ["relay-z"] })).rejects.toMatchObject({
		code: "not_found",
		message: 'without: there is no host "relay-z": see sluice host list',
	});
});

test("what cannot be put back is left and named with what is in its way; a dry run says the same and changes nothing", async () => {
	await cluster.put(exampleRule("stored", "239.1.1.2"));
	await cluster.put(exampleRule("kept", "239.1.1.3"));
	const different = exampleRule("differs", "239.1.1.4");
	const of = (host: string, name: string, group: string) => held(exampleRule(name, group, { hosts: [host] }));
	await holder("relay-b", [
		audio,
		held(exampleRule("clashes", "239.1.1.2")),
		held(different),
		held(exampleRule("kept", "239.1.1.9")),
		of("relay-b", "mine", "239.1.1.5"),
	]);
	await holder("relay-c", [
		audio,
		held(different, 1),
		of("relay-b", "theirs", "239.1.1.5"),
		{ rule: exampleRule("twin", "239.1.1.6"), uid: (await cluster.get("stored")).rule?.uid ?? "" },
		{ rule: exampleRule("without-uid"), uid: "" },
	]);
	await seen(2);
	const expected = {
		hosts: ["relay-b", "relay-c"],
		restored: ["audio"],
		held: [
			{
				host: "relay-b",
				rules: 4,
				names: ["audio", "clashes", "differs", "mine"],
				left: 3,
			},
			{ host: "relay-c", rules: 5, names: ["audio", "differs", "theirs", "twin", "without-uid"], left: 4 },
		],
		dropped: [],
		left: [
			["clashes", "relay-b", "input: r0:239.1.1.2:5001 from any source is taken by rule stored"],
			["differs", "relay-b", "relay-c holds another rule of that name"],
			["differs", "relay-c", "relay-b holds another rule of that name"],
			[
				"mine",
				"relay-b",
				"input: r0:239.1.1.5:5001 from any source is taken by rule theirs, which relay-c holds",
			],
			[
				"theirs",
				"relay-c",
				"input: r0:239.1.1.5:5001 from any source is taken by rule mine, which relay-b holds",
			],
			["twin", "relay-c", "it has the uid of rule stored"],
			["without-uid", "relay-c", "it has no uid"],
		].map(([name, host, reason]) => ({ name, hosts: [host], reason })),
		overruled: [{ name: "kept", hosts: ["relay-b"], reason: "input.group: 239.1.1.9 -> 239.1.1.3" }],
		unheard: [],
	};
	const names = async () => (await cluster.list()).rules.map(({ name }) => name);
	expect(await recover(Action.RESTORE, { dryRun: true })).toMatchObject(expected);
	expect(await names()).toEqual(["kept", "stored"]);
	expect(await recover(Action.RESTORE)).toMatchObject(expected);
	expect(await names()).toEqual(["audio", "kept", "stored"]);
	// The operator says who is right.
	await cluster.remove("stored");
	const rest = await recover(Action.RESTORE, { without: ["relay-c"] });
	expect([rest.restored, rest.left]).toEqual([["clashes", "differs", "mine"], []]);
	expect((await cluster.get("differs")).rule?.uid).toBe(held(different).uid);
});

test("accept says what is dropped, and names the host that does not do it", async () => {
	const accepted: string[] = [];
	const refuse = (message: Msg) => {
		const sent = headers();
		sent.set(SERVICE_ERROR_CODE_HEADER, "503");
		sent.set(SERVICE_ERROR_HEADER, "it does not see that bucket yet");
		message.respond("", { headers: sent });
	};
	const rules = [audio, held(exampleRule("video", "239.1.1.2"))];
	await holder("relay-b", rules, {
		onAccept(message) {
			accepted.push("relay-b");
			message.respond("");
		},
	});
	await holder("relay-c", rules.slice(0, 1), { onAccept: refuse });
	await seen(2);
	const before = await recover(Action.ACCEPT, { dryRun: true });
	expect(before).toMatchObject({ dropped: ["audio", "video"], unheard: [] });
	expect(accepted).toEqual([]);
	const after = await recover(Action.ACCEPT);
	expect(after).toMatchObject({
		hosts: ["relay-b", "relay-c"],
		held: [
			{ host: "relay-b", rules: 2, left: 0 },
			{ host: "relay-c", rules: 1, left: 1 },
		],
		dropped: ["video"],
		unheard: [{ host: "relay-c", reason: "it does not see that bucket yet", away: false }],
	});
	expect(accepted).toEqual(["relay-b"]);
});
