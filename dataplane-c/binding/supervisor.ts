/**
 * The supervisor half of libsluice, typed. Addresses and ports are numbers in host
 * order. Every descriptor that is returned belongs to the caller, who gives it to
 * `closeDescriptor`. What the kernel refuses is thrown as a DataplaneError.
 *
 * Call all of it from the main thread.
 */
import { swap16, swap32 } from "./byte-order.ts";
import * as check from "./check.ts";
import { DataplaneError } from "./errors.ts";
import { ATTACH_SHARD, LIMITS, RING } from "./layout.ts";
import { errorText, filterLog, succeed, supervisorSymbols } from "./library.ts";

/* ---- channel ---- */

/**
 * Listens for workers of that uid on the abstract socket name and watches links.
 * Returns the descriptor that `readEvents` (events.ts) reads; once per process.
 * Dump the links after this, not before, and no change is missed.
 */
export function startEvents(channelName: string, workerUid: number): number {
	return succeed(
		supervisorSymbols().sluice_events_start(
			check.cString(channelName, "channelName", check.MAX_CHANNEL_NAME_BYTES),
			check.u32(workerUid, "workerUid"),
		),
		`listen for workers on @${channelName}`,
	);
}

/** The same in two steps: the listener may be one that workers already knock at. Takes it. */
export function listenForWorkers(channelName: string): number {
	return succeed(
		supervisorSymbols().sluice_channel_listen(
			check.cString(channelName, "channelName", check.MAX_CHANNEL_NAME_BYTES),
		),
		`listen for workers on @${channelName}`,
	);
}

export function startEventsOn(listener: number, workerUid: number): number {
	return succeed(
		supervisorSymbols().sluice_events_start_on(
			check.fd(listener, "listener"),
			check.u32(workerUid, "workerUid"),
		),
		"accept workers",
	);
}

/** Closes every connection; the events end. */
export function stopEvents(): void {
	supervisorSymbols().sluice_events_stop();
}

/** full: its queue is, try again after its next ACK. gone: a GONE event comes or came. */
export type SendResult = "sent" | "full" | "gone";

const noDescriptors = new Int32Array(1);

/** Sends a message of messages.ts with at most 4 descriptors, which stay the caller's. */
export function sendToWorker(
	connection: number,
	message: Uint8Array,
	fds: readonly number[] = [],
): SendResult {
	check.within(fds.length, "number of descriptors", 0, 4);
	check.within(message.length, "length of the message", 16, LIMITS.messageBytes);
	for (const fd of fds) check.fd(fd, "fd");
	const result = supervisorSymbols().sluice_channel_send(
		check.u32(connection, "connection"),
		message,
		message.length,
		fds.length > 0 ? Int32Array.from(fds) : noDescriptors,
		fds.length,
	);
	if (result === 0) return "sent";
	const error = new DataplaneError(`send to worker connection ${connection}`, -result, errorText(-result));
	if (error.code === "EAGAIN") return "full";
	if (error.code === "ENOTCONN") return "gone";
	throw error;
}

/** What goes to a successor with its message, and whose counters are to be settled. */
export interface SuccessionFds {
	readonly socket: number;
	readonly state: number;
	/** Of the driver's slot. */
	readonly counters: number;
}

/**
 * Who goes on in a shard when the packet thread behind `driver` ends: `attach` (messages.ts) is
 * sent to `successor` at once, and a "succeeded" event says so. The shard must have no other;
 * the descriptors stay open until it was withdrawn or that event came.
 */
export function nameSuccessor(
	driver: number,
	successor: number,
	attach: Uint8Array,
	{ socket, state, counters }: SuccessionFds,
): void {
	check.within(attach.length, "length of the message", ATTACH_SHARD.size, ATTACH_SHARD.size);
	for (const fd of [socket, state, counters]) check.fd(fd, "fd");
	succeed(
		supervisorSymbols().sluice_successor_name(
			check.u32(driver, "driver"),
			check.u32(successor, "successor"),
			attach,
			Int32Array.of(socket, state, counters),
		),
		"name a shard's successor",
	);
}

/** False: too late, its "succeeded" event was read or can be. */
export function withdrawSuccessor(shard: number): boolean {
	const result = supervisorSymbols().sluice_successor_withdraw(check.u32(shard, "shard"));
	return isExpected(result, "ENOENT", "withdraw a shard's successor");
}

/** Closes the connection; a GONE event follows. */
export function disconnectWorker(connection: number): void {
	supervisorSymbols().sluice_channel_disconnect(check.u32(connection, "connection"));
}

/**
 * From now on a GONE event comes as soon as that worker's packet thread has ended, before its
 * process has. Once it acknowledged its counters; the descriptor stays the caller's.
 */
export function watchWorker(connection: number, counters: number): void {
	succeed(
		supervisorSymbols().sluice_life_watch(
			check.u32(connection, "connection"),
			check.fd(counters, "counters"),
		),
		"watch a worker",
	);
}

/* ---- capture ---- */

export interface CaptureFilter {
	/** For openShards. */
	readonly programFd: number;
	/** For admitAddress and dismissAddress. */
	readonly mapFd: number;
}

/** Room for `capacity` destination addresses, for rings with or without such a header. */
export function createFilter(capacity: number, vnetHeader: boolean): CaptureFilter {
	const map = new Int32Array(1);
	const result = supervisorSymbols().sluice_filter_create(
		check.count(capacity, "capacity", 1 << 24),
		vnetHeader ? 1 : 0,
		map,
	);
	const log = result < 0 ? filterLog().trim() : "";
	const programFd = succeed(result, log ? `load capture filter: ${log}` : "load capture filter");
	return { programFd, mapFd: check.fd(map[0] ?? -1, "mapFd") };
}

/** From now on frames to that address enter the rings. No error when it was admitted before. */
export function admitAddress(filter: CaptureFilter, address: number): void {
	succeed(
		supervisorSymbols().sluice_filter_add(
			check.fd(filter.mapFd, "mapFd"),
			swap32(check.address(address, "address")),
		),
		"admit address to capture filter",
	);
}

/** False when it was not admitted. */
export function dismissAddress(filter: CaptureFilter, address: number): boolean {
	const result = supervisorSymbols().sluice_filter_remove(
		check.fd(filter.mapFd, "mapFd"),
		swap32(check.address(address, "address")),
	);
	return isExpected(result, "ENOENT", "dismiss address from capture filter");
}

/** Every address that passes the filter. */
export function admittedAddresses(filter: CaptureFilter, capacity: number): number[] {
	const addresses = new Uint32Array(check.count(capacity, "capacity", 1 << 24));
	const found = succeed(
		supervisorSymbols().sluice_filter_list(check.fd(filter.mapFd, "mapFd"), addresses, addresses.length),
		"read capture filter",
	);
	return Array.from(addresses.subarray(0, found), swap32);
}

/** True for success, false for the one error that is an answer too. */
function isExpected(result: number, code: string, operation: string): boolean {
	if (result >= 0) return true;
	const error = new DataplaneError(operation, -result, errorText(-result));
	if (error.code === code) return false;
	throw error;
}

export interface Ring {
	readonly blockBytes: number;
	readonly blockCount: number;
	readonly frameBytes: number;
	readonly frameCount: number;
	readonly vnetHeader: boolean;
}

export function encodeRing(ring: Ring, bytes: Uint8Array, offset: number): void {
	const view = new DataView(bytes.buffer, bytes.byteOffset + offset, RING.size);
	view.setUint32(RING.blockBytes, check.u32(ring.blockBytes, "blockBytes"), true);
	view.setUint32(RING.blockCount, check.u32(ring.blockCount, "blockCount"), true);
	view.setUint32(RING.frameBytes, check.u32(ring.frameBytes, "frameBytes"), true);
	view.setUint32(RING.frameCount, check.u32(ring.frameCount, "frameCount"), true);
	view.setUint32(RING.vnetHeader, ring.vnetHeader ? 1 : 0, true);
	view.setUint32(RING.reserved, 0, true);
}

/** The geometry of a ring of about that many bytes (at most 1 GiB) for an interface with that MTU. */
export function planRing(mtu: number, targetBytes: number, vnetHeader: boolean): Ring {
	const bytes = new Uint8Array(RING.size);
	const result = supervisorSymbols().sluice_ring_plan(
		check.u32(mtu, "mtu"),
		BigInt(check.within(targetBytes, "targetBytes", 0, 2 ** 40)),
		vnetHeader ? 1 : 0,
		bytes,
	);
	succeed(result, `plan a ring for MTU ${mtu}`);
	const view = new DataView(bytes.buffer);
	return {
		blockBytes: view.getUint32(RING.blockBytes, true),
		blockCount: view.getUint32(RING.blockCount, true),
		frameBytes: view.getUint32(RING.frameBytes, true),
		frameCount: view.getUint32(RING.frameCount, true),
		vnetHeader: view.getUint32(RING.vnetHeader, true) !== 0,
	};
}

/**
 * One capture socket per worker on that interface, in one fanout group, filters
 * locked. Code ENETDOWN: the interface is down; ENODEV: it is gone.
 */
export function openShards(ifindex: number, count: number, ring: Ring, filter: CaptureFilter): number[] {
	const geometry = new Uint8Array(RING.size);
	const fds = new Int32Array(check.count(count, "count", LIMITS.workers)).fill(-1);
	encodeRing(ring, geometry, 0);
	const result = supervisorSymbols().sluice_shards_open(
		check.ifindex(ifindex),
		count,
		geometry,
		check.fd(filter.programFd, "programFd"),
		fds,
	);
	succeed(result, "open capture sockets");
	return Array.from(fds);
}

/** False: its interface was taken away; it captures nothing any more, also when another has its index. */
export function isBound(shard: number): boolean {
	const result = supervisorSymbols().sluice_shard_interface(check.fd(shard, "shard"));
	return isExpected(result, "ENODEV", "read a capture socket's interface");
}

/** Where the next owner of a shard goes on. A memfd. */
export function createShardState(): number {
	return succeed(supervisorSymbols().sluice_shard_state_create(), "create shard state");
}

/**
 * After a worker's death, before its shard goes to another: puts the counters in place that it was
 * just about to change. `counters` is the memory of its slot.
 */
export function settleShard(state: number, counters: number): void {
	succeed(
		supervisorSymbols().sluice_shard_settle(check.fd(state, "state"), check.fd(counters, "counters")),
		"settle shard",
	);
}

/** Slot of the worker that drives a shard, or was the last to; undefined: nobody ever did. */
export function driverOfShard(state: number): number | undefined {
	const slot = supervisorSymbols().sluice_shard_driver(check.fd(state, "state"));
	return isExpected(slot, "ENOENT", "read a shard's driver") ? slot : undefined;
}

/** Counter memory of one worker slot, all zero. Pages come with the first write: ask for what may ever be needed. */
export function createCounters(count: number): number {
	return succeed(
		supervisorSymbols().sluice_counters_create(check.count(count, "count", LIMITS.counters)),
		"create counter memory",
	);
}

/** Only for blocks that no installed table names. */
export function zeroCounters(fd: number, index: number, count: number): void {
	succeed(
		supervisorSymbols().sluice_counters_zero(
			check.fd(fd, "fd"),
			check.within(index, "index", 0, LIMITS.counters),
			check.within(count, "count", 0, LIMITS.counters),
		),
		"zero counters",
	);
}

/* ---- memberships ---- */

export function openMembership(): number {
	return succeed(supervisorSymbols().sluice_membership_open(), "open membership socket");
}

/** `source` 0: any. False when this socket is full (igmp_max_memberships, igmp_max_msf): take another. */
export function joinGroup(fd: number, ifindex: number, group: number, source = 0): boolean {
	const result = supervisorSymbols().sluice_membership_join(
		check.fd(fd, "fd"),
		check.ifindex(ifindex),
		swap32(check.address(group, "group")),
		swap32(check.addressOrNone(source, "source")),
	);
	return isExpected(result, "ENOBUFS", "join group");
}

/** False when it was not joined on this socket, or the interface took the membership with it. */
export function leaveGroup(fd: number, ifindex: number, group: number, source = 0): boolean {
	const result = supervisorSymbols().sluice_membership_leave(
		check.fd(fd, "fd"),
		check.ifindex(ifindex),
		swap32(check.address(group, "group")),
		swap32(check.addressOrNone(source, "source")),
	);
	return isExpected(result, "EADDRNOTAVAIL", "leave group");
}

/**
 * For a unicast input: the kernel answers no "port unreachable" while it is open.
 * Undefined when another socket has the port, which has the same effect.
 */
export function openDrain(ifindex: number, address: number, port: number): number | undefined {
	const result = supervisorSymbols().sluice_drain_open(
		check.ifindex(ifindex),
		swap32(check.address(address, "address")),
		swap16(check.port(port, "port")),
	);
	return isExpected(result, "EADDRINUSE", "open drain socket") ? result : undefined;
}

/* ---- egress ---- */

/** `bindAddress`: 0 for multicast outputs, the source address for unicast ones. */
export function openEgress(ifindex: number, bindAddress: number, sourcePort: number): number {
	return succeed(
		supervisorSymbols().sluice_egress_open(
			check.ifindex(ifindex),
			swap32(check.addressOrNone(bindAddress, "bindAddress")),
			swap16(check.port(sourcePort, "sourcePort")),
		),
		`open egress socket on source port ${sourcePort}`,
	);
}

export function closeDescriptor(fd: number): void {
	succeed(supervisorSymbols().sluice_close(check.fd(fd, "fd")), `close descriptor ${fd}`);
}
