import { expect, test } from "bun:test";
import { ABI_VERSION } from "@sluice/dataplane/layout";
import { silentLog } from "../apply/testing/fake-host.ts";
import { Fleet } from "./fleet.ts";
import { dispatch, type HubOptions } from "./hub.ts";

function make() {
	const fleet = new Fleet({
		workers: 1,
		coreOf: () => 0,
		start: () => ({ pid: 77, kill: () => {} }),
		heartbeat: () => 0n,
		stopOf: () => 1,
		onEnded: () => {},
		onConnected: () => {},
		onRunning: () => {},
		onChange: () => {},
		log: silentLog,
	});
	fleet.startAll();
	const disconnected: number[] = [];
	const deaf: [shard: number, slot: number][] = [];
	let links = 0;
	const options: HubOptions = {
		fleet,
		send: () => "sent",
		disconnect: (connection) => disconnected.push(connection),
		abiVersion: ABI_VERSION,
		onSucceeded: () => {},
		onDeaf: (shard, slot) => deaf.push([shard, slot]),
		onLinks: () => {
			links += 1;
		},
		log: silentLog,
	};
	return { fleet, options, disconnected, deaf, linksSeen: () => links };
}

const hello = {
	kind: "hello",
	connection: 5,
	pid: 77,
	worker: 0,
	abiVersion: ABI_VERSION,
	holds: 0,
} as const;

test("hello connects the slot, gone takes it away", () => {
	const { fleet, options, disconnected } = make();
	dispatch(hello, options);
	expect(fleet.views()[0]?.phase).toBe("connected");
	expect(fleet.slotOf(5)).toBe(0);
	dispatch({ kind: "gone", connection: 5, pid: 77 }, options);
	expect(fleet.views()[0]?.phase).toBe("absent");
	expect(disconnected).toEqual([]);
});

test("a stranger and a worker of another version are turned away", () => {
	const { fleet, options, disconnected } = make();
	dispatch({ ...hello, pid: 78 }, options);
	dispatch({ ...hello, connection: 6, abiVersion: ABI_VERSION + 1 }, options);
	expect(disconnected).toEqual([5, 6]);
	expect(fleet.views()[0]?.phase).toBe("absent");
});

test("an acknowledgement reaches the command it belongs to", async () => {
	const { fleet, options } = make();
	dispatch(hello, options);
	const command = fleet.connected(0)?.channel.command(() => new Uint8Array(16));
	dispatch({ kind: "ack", connection: 5, sequence: 1n, errno: 0, atUs: 0 }, options);
	await command;
});

test("a deaf shard is passed on with the slot of who says so, unless that is a stranger", () => {
	const { options, deaf } = make();
	dispatch({ kind: "deaf", connection: 5, shard: 3 }, options);
	dispatch(hello, options);
	dispatch({ kind: "deaf", connection: 5, shard: 4 }, options);
	expect(deaf).toEqual([[4, 0]]);
});

test("changed links are passed on", () => {
	const { options, linksSeen } = make();
	dispatch({ kind: "links" }, options);
	expect(linksSeen()).toBe(1);
});
