import { expect, test } from "bun:test";
import { OpenResources } from "./open-resources.ts";
import { TableInstaller } from "./tables.ts";
import { FakeHost } from "./testing/fake-host.ts";

function install(installer: TableInstaller): Promise<void> {
	return installer.install({ rules: [], interfaces: [] }, () => 0);
}

function make(host: FakeHost, fingerprint: string): TableInstaller {
	return new TableInstaller(host.dataplane, host.builder, host, new OpenResources(), {
		counterCapacity: 4096,
		workerCounters: 64,
		blockSizes: { rule: 16, output: 8, interface: 16 },
		counterMemories: [],
		fingerprint: () => fingerprint,
	});
}

test("a successor's first table keeps its generation when it is the same, and no other does", async () => {
	const host = new FakeHost(1);
	const first = make(host, "a");
	await install(first);
	await install(first);
	expect(first.notes()).toMatchObject({ generation: "2", fingerprint: "a" });

	const same = make(host, "a");
	same.adopt(first.notes());
	await install(same);
	expect(same.notes().generation).toBe("2");
	await install(same);
	expect(same.notes().generation).toBe("3");

	const other = make(host, "b");
	other.adopt(first.notes());
	const before = host.kinds().length;
	await install(other);
	expect(other.notes()).toMatchObject({ generation: "3", fingerprint: "b" });
	// What was only looked at is closed.
	expect(host.kinds().length).toBe(before + 1);
});
