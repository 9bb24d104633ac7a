import { afterEach, expect, test } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import { DataplaneError } from "./errors.ts";
import { type Link, readLinks } from "./host.ts";
import * as supervisor from "./supervisor.ts";

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.log("skip: capture and egress sockets need root");

const opened: number[] = [];
afterEach(() => {
	for (const fd of opened.splice(0)) supervisor.closeDescriptor(fd);
});

function keep(fd: number): number {
	opened.push(fd);
	return fd;
}

function loopback(): Link {
	const link = readLinks().find(({ loopback }) => loopback);
	if (!link) throw new Error("no loopback");
	return link;
}

test("a ring holds the MTU in slots that are a power of two", () => {
	const ring = supervisor.planRing(1500, 32 << 20, true);
	expect(ring).toEqual({
		blockBytes: 65_536,
		blockCount: 512,
		frameBytes: 2048,
		frameCount: 16_384,
		vnetHeader: true,
	});
	expect(supervisor.planRing(9000, 32 << 20, false).frameBytes).toBe(16_384);
	expect(() => supervisor.planRing(20, 32 << 20, true)).toThrow(
		"plan a ring for MTU 20: Invalid argument (EINVAL)",
	);
});

test("a membership socket takes a group once, in network order, and leaves it", () => {
	const fd = keep(supervisor.openMembership());
	const { ifindex } = loopback();
	// 239.254.7.9
	const joined = () => /0907FEEF/.test(Bun.spawnSync(["cat", "/proc/net/igmp"]).stdout.toString());
	expect(supervisor.joinGroup(fd, ifindex, 0xeffe0709)).toBe(true);
	expect(joined()).toBe(true);
	expect(() => supervisor.joinGroup(fd, ifindex, 0xeffe0709)).toThrow("join group: Address already in use");
	expect(supervisor.leaveGroup(fd, ifindex, 0xeffe0709)).toBe(true);
	expect(supervisor.leaveGroup(fd, ifindex, 0xeffe0709)).toBe(false);
	expect(joined()).toBe(false);
});

test("a full membership socket says so", () => {
	const fd = keep(supervisor.openMembership());
	const { ifindex } = loopback();
	const limit = Number(Bun.spawnSync(["cat", "/proc/sys/net/ipv4/igmp_max_memberships"]).stdout.toString());
	for (let i = 0; i < limit; i++) expect(supervisor.joinGroup(fd, ifindex, 0xeffe0800 + i)).toBe(true);
	expect(supervisor.joinGroup(fd, ifindex, 0xeffe0800 + limit)).toBe(false);
});

test("a drain is nobody's failure when the port is taken", () => {
	const { ifindex } = loopback();
	const other = Bun.udpSocket({ hostname: "127.0.0.1", port: 0 });
	return other.then((socket) => {
		expect(supervisor.openDrain(ifindex, 0x7f000001, socket.port)).toBeUndefined();
		const { port } = socket;
		socket.close();
		keep(supervisor.openDrain(ifindex, 0x7f000001, port) ?? -1);
	});
});

test("counters are made, zeroed and closed", () => {
	const fd = keep(supervisor.createCounters(64));
	supervisor.zeroCounters(fd, 8, 56);
	expect(() => supervisor.zeroCounters(fd, 8, 57)).toThrow("zero counters: Invalid argument (EINVAL)");
	keep(supervisor.createShardState());
});

test.skipIf(!isRoot)("an interface that is not there is ENODEV, and nothing stays open", () => {
	const filter = supervisor.createFilter(16, true);
	keep(filter.programFd);
	keep(filter.mapFd);
	const ring = supervisor.planRing(1500, 1 << 20, true);
	// Sockets by name: pipes of programs that earlier tests ran may be closed at any moment.
	const descriptors = () => readdirSync("/proc/self/fd").map(socketAt).filter(Boolean).sort();
	const before = descriptors();
	try {
		supervisor.openShards(0x7ffffff0, 2, ring, filter);
		throw new Error("opened");
	} catch (error) {
		expect(error).toBeInstanceOf(DataplaneError);
		expect((error as DataplaneError).code).toBe("ENODEV");
	}
	expect(descriptors().filter((socket) => !before.includes(socket))).toEqual([]);
});

test.skipIf(!isRoot)("a filter's map takes each address once and gives it back", () => {
	const filter = supervisor.createFilter(2, true);
	keep(filter.programFd);
	keep(filter.mapFd);
	supervisor.admitAddress(filter, 0xef000001);
	supervisor.admitAddress(filter, 0xef000001);
	supervisor.admitAddress(filter, 0xef000002);
	expect(() => supervisor.admitAddress(filter, 0xef000003)).toThrow("(E2BIG)");
	expect(supervisor.dismissAddress(filter, 0xef000001)).toBe(true);
	expect(supervisor.dismissAddress(filter, 0xef000001)).toBe(false);
});

test.skipIf(!isRoot)("shards and egress sockets open on the loopback", () => {
	const filter = supervisor.createFilter(16, true);
	keep(filter.programFd);
	keep(filter.mapFd);
	const { ifindex, mtu } = loopback();
	const fds = supervisor.openShards(ifindex, 2, supervisor.planRing(mtu, 1 << 20, true), filter);
	expect(fds).toHaveLength(2);
	for (const fd of fds) keep(fd);
	// Below those that the kernel gives to whoever asks for any.
	keep(supervisor.openEgress(ifindex, 0, 15_678));
	keep(supervisor.openEgress(ifindex, 0x7f000001, 15_678));
});

if (isRoot) console.log("skipped: it is about users who are not root, and this is root");
test.skipIf(isRoot)("without root, capture is refused by the kernel", () => {
	expect(() => supervisor.createFilter(16, true)).toThrow("(EPERM)");
});

/** "socket:[12345]" for a socket, else empty. */
function socketAt(fd: string): string {
	try {
		const target = readlinkSync(`/proc/self/fd/${fd}`);
		return target.startsWith("socket:") ? target : "";
	} catch {
		return "";
	}
}
