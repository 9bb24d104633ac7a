import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { jetstreamManager, StorageType } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import type { Owner } from "./ownership.ts";
import { StoredRecord } from "./stored-record.ts";

const SUBJECT = kvSubject(buckets.hosts, "relay-b");
/** A loaded machine takes its time. */
const OPTIONS = { timeout: 20_000 };
const own: Owner = { host: "relay-b", installation: "one", incarnation: 20n };

let server: TestNatsServer;
let nc: NatsConnection;
let problems: string[];
beforeAll(async () => {
	server = await startNatsServer();
	nc = await server.connect();
});
afterAll(async () => {
	await server.stop();
});
beforeEach(async () => {
	await makeBucket();
	problems = [];
});

/** Another one than before, and empty. */
async function makeBucket(): Promise<void> {
	const jsm = await jetstreamManager(nc);
	await jsm.streams.delete("KV_sluice_hosts").catch(() => {});
	await jsm.streams.add({
		name: "KV_sluice_hosts",
		subjects: [kvSubject(buckets.hosts, ">")],
		max_msgs_per_subject: 1,
		// As control-api makes it. What lay on disk may be there again, when its name is used again at once.
		storage: StorageType.Memory,
	});
}

function store(revision = 0n): StoredRecord {
	return new StoredRecord(nc, own, revision, (error) => problems.push(error.message));
}

function record(owner: Owner, kernel: string): Uint8Array {
	return toBinary(HostRecordSchema, create(HostRecordSchema, { ...owner, kernel }));
}

async function stored(): Promise<string> {
	const jsm = await jetstreamManager(nc);
	const message = await jsm.streams.getMessage("KV_sluice_hosts", { last_by_subj: SUBJECT });
	return message === null ? "" : fromBinary(HostRecordSchema, message.data).kernel;
}

test("a record is written over one's own, also when the answer to a write was lost", async () => {
	const mine = store();
	await mine.write(record(own, "1"));
	await mine.write(record(own, "2"));
	await nc.request(SUBJECT, record(own, "3"), OPTIONS);
	await mine.write(record(own, "4"));
	expect(await stored()).toBe("4");
	// The next supervisor of this host, which read no revision.
	await store().write(record(own, "5"));
	expect(await stored()).toBe("5");
	expect(problems).toEqual([]);
});

test("it is written into a bucket that was made anew, and over what nobody can read", async () => {
	const mine = store();
	await mine.write(record(own, "1"));
	await mine.write(record(own, "2"));
	await makeBucket();
	await mine.write(record(own, "3"));
	expect(await stored()).toBe("3");
	await nc.request(SUBJECT, "\xff", OPTIONS);
	await mine.write(record(own, "4"));
	expect(await stored()).toBe("4");
	expect(problems).toEqual([]);
});

for (const [who, other] of [
	["another installation", { ...own, installation: "two", incarnation: 10n }],
	["a later run of a copy", { ...own, incarnation: 21n }],
] as const) {
	test(`what ${who} wrote is left as it is, and told`, async () => {
		const mine = store();
		await mine.write(record(own, "mine"));
		await nc.request(SUBJECT, record(other, "theirs"), OPTIONS);
		await expect(mine.write(record(own, "mine"))).rejects.toThrow("host id relay-b is in use");
		expect(await stored()).toBe("theirs");
		expect(problems).toHaveLength(1);
	});
}
