import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { startNatsServer } from "@sluice/lib/testing/nats-server";
import { type StoredRule, StoredRuleSchema } from "@sluice/proto/gen/rule";
import {
	buckets,
	hostAcceptSubject,
	hostHeldSubject,
	hostRestartSubject,
	kvSubject,
} from "@sluice/proto/subjects";
import { heldPage, serveHostCommands } from "./host-commands.ts";

test("pages of held rules fit a message, and hold each rule once, in order", () => {
	const outputs = Array.from({ length: 256 }, (_, k) => ({
		interface: "r1",
		address: "239.10.1.1",
		port: k + 1,
	}));
	const held: StoredRule[] = Array.from({ length: 1_000 }, (_, k) =>
		create(StoredRuleSchema, { rule: { name: `rule-${String(k).padStart(4, "0")}`, outputs }, uid: "u" }),
	);
	const names: string[] = [];
	let pages = 0;
	let after = "";
	do {
		const page = heldPage(held, after);
		names.push(...page.rules.map(({ rule }) => rule?.name ?? ""));
		after = page.nextPageToken;
		pages += 1;
	} while (after !== "");
	expect(names).toEqual(held.map(({ rule }) => rule?.name ?? ""));
	expect(pages).toBeGreaterThan(4);
	expect(heldPage([], "")).toMatchObject({ rules: [], nextPageToken: "" });
});

test("a command whose answer would go to anything but an inbox is not heard", async () => {
	const server = await startNatsServer();
	try {
		const accepted: string[] = [];
		const state = { held: () => [], accept: (created: string) => void accepted.push(created) };
		const replaceWorker = () => Promise.reject(new Error("no worker is there"));
		const supervisor = await server.connect("supervisor");
		serveHostCommands(supervisor, "relay-a", state, { replaceWorker });
		await supervisor.flush();
		const nc = await server.connect("stranger");
		const strayed: string[] = [];
		nc.subscribe("$KV.>", { callback: (_, message) => void strayed.push(message.subject) });
		const subjects = [
			hostHeldSubject("relay-a"),
			hostAcceptSubject("relay-a"),
			hostRestartSubject("relay-a"),
		];
		for (const subject of subjects) nc.publish(subject, "", { reply: kvSubject(buckets.rules, "video") });
		// One subscription's messages are handled in order: these answers come after any to those before.
		for (const subject of subjects) await nc.request(subject, "", { timeout: 10_000 });
		await nc.flush();
		expect(strayed).toEqual([]);
		expect(accepted).toHaveLength(1);
	} finally {
		await server.stop();
	}
});
