import { describe, expect, test } from "bun:test";
import { ip } from "../reconcile/testing/world.ts";
import type { Membership } from "../reconcile/types.ts";
import { MembershipPool } from "./membership-pool.ts";

/** Join sockets with the kernel's two limits. */
class Kernel {
	readonly sockets = new Map<number, Map<string, Set<number>>>();
	groupLimit = 20;
	sourceLimit = 10;
	#lastFd = 2;
	#onChange: () => void = () => {};

	openMembership(): number {
		this.#lastFd += 1;
		this.sockets.set(this.#lastFd, new Map());
		return this.#lastFd;
	}

	joinGroup(fd: number, ifindex: number, group: number, source = 0): boolean {
		const socket = this.#socket(fd);
		const key = `${ifindex}/${group}`;
		const sources = socket.get(key);
		if (sources === undefined) {
			if (socket.size >= this.groupLimit) return false;
			socket.set(key, new Set([source]));
			return true;
		}
		if (source === 0 || sources.has(0)) throw new Error("EINVAL: two modes on one socket");
		if (sources.size >= this.sourceLimit) return false;
		sources.add(source);
		return true;
	}

	leaveGroup(fd: number, ifindex: number, group: number, source = 0): boolean {
		const socket = this.#socket(fd);
		const sources = socket.get(`${ifindex}/${group}`);
		if (sources?.delete(source) !== true) return false;
		if (sources.size === 0) socket.delete(`${ifindex}/${group}`);
		this.#onChange();
		return true;
	}

	closeDescriptor(fd: number): void {
		if (!this.sockets.delete(fd)) throw new Error("EBADF");
	}

	sizes(): number[] {
		return [...this.sockets.values()].map((socket) => socket.size);
	}

	/** Answers on how many sockets each of them was at least, ever since. */
	watch(memberships: readonly Membership[]): () => number {
		const count = ({ ifindex, group }: Membership) =>
			[...this.sockets.values()].filter((socket) => socket.has(`${ifindex}/${group}`)).length;
		let least = Number.POSITIVE_INFINITY;
		this.#onChange = () => {
			for (const membership of memberships) least = Math.min(least, count(membership));
		};
		return () => least;
	}

	#socket(fd: number): Map<string, Set<number>> {
		const socket = this.sockets.get(fd);
		if (socket === undefined) throw new Error("EBADF");
		return socket;
	}
}

function member(group: string, source = "0.0.0.0", ifindex = 2): Membership {
	return {
		key: `${ifindex}/${group}/${source}`,
		ifindex,
		group: ip(group),
		source: ip(source),
		carrierEpoch: 1,
	};
}

function make() {
	const kernel = new Kernel();
	return { kernel, pool: new MembershipPool(kernel) };
}

describe("membership pool", () => {
	test("twenty groups to a socket", () => {
		const { kernel, pool } = make();
		for (let index = 1; index <= 45; index += 1) pool.join(member(`239.1.1.${index}`));
		expect(kernel.sizes()).toEqual([20, 20, 5]);
	});

	test("a left group makes room, an empty socket is closed", () => {
		const { kernel, pool } = make();
		for (let index = 1; index <= 21; index += 1) pool.join(member(`239.1.1.${index}`));
		pool.leave(member("239.1.1.21"));
		expect(kernel.sizes()).toEqual([20]);
		pool.leave(member("239.1.1.1"));
		pool.join(member("239.1.1.30"));
		expect(kernel.sizes()).toEqual([20]);
	});

	test("the sources of a group share a socket", () => {
		const { kernel, pool } = make();
		pool.join(member("239.1.1.1", "10.0.0.1"));
		for (let index = 2; index <= 30; index += 1) pool.join(member(`239.1.1.${index}`));
		pool.join(member("239.1.1.1", "10.0.0.2"));
		expect(kernel.sizes()).toEqual([20, 10]);
	});

	test("both modes of a group are on two sockets, and either is left alone", () => {
		const { kernel, pool } = make();
		pool.join(member("239.1.1.1"));
		pool.join(member("239.1.1.1", "10.0.0.1"));
		expect(kernel.sizes()).toEqual([1, 1]);
		pool.leave(member("239.1.1.1"));
		expect(kernel.sizes()).toEqual([1]);
		pool.join(member("239.1.1.1", "10.0.0.2"));
		expect(kernel.sizes()).toEqual([1]);
	});

	test("one group on two interfaces may share a socket", () => {
		const { kernel, pool } = make();
		pool.join(member("239.1.1.1", "0.0.0.0", 2));
		pool.join(member("239.1.1.1", "0.0.0.0", 3));
		expect(kernel.sizes()).toEqual([2]);
	});

	test("a lower limit of the kernel is found and kept", () => {
		const { kernel, pool } = make();
		kernel.groupLimit = 3;
		for (let index = 1; index <= 7; index += 1) pool.join(member(`239.1.1.${index}`));
		expect(kernel.sizes()).toEqual([3, 3, 1]);
	});

	test("no membership at all: the sysctl is named and nothing stays open", () => {
		const { kernel, pool } = make();
		kernel.groupLimit = 0;
		expect(() => pool.join(member("239.1.1.1"))).toThrow("net.ipv4.igmp_max_memberships");
		expect(kernel.sizes()).toEqual([]);
	});

	test("too many sources of a group: the sysctl is named and the others stay", () => {
		const { kernel, pool } = make();
		kernel.sourceLimit = 2;
		pool.join(member("239.1.1.1", "10.0.0.1"));
		pool.join(member("239.1.1.1", "10.0.0.2"));
		expect(() => pool.join(member("239.1.1.1", "10.0.0.3"))).toThrow("net.ipv4.igmp_max_msf");
		pool.leave(member("239.1.1.1", "10.0.0.1"));
		pool.join(member("239.1.1.1", "10.0.0.3"));
		expect(kernel.sizes()).toEqual([1]);
	});

	test("joining again leaves first", () => {
		const { kernel, pool } = make();
		pool.join(member("239.1.1.1"));
		pool.rejoin(member("239.1.1.1"));
		expect(kernel.sizes()).toEqual([1]);
	});

	test("what stays is gathered on as few sockets as it needs, joined there before it is left here", () => {
		const { kernel, pool } = make();
		const groups = Array.from({ length: 60 }, (_, index) => member(`239.1.1.${index + 1}`));
		for (const group of groups) pool.join(group);
		const least = kernel.watch(groups.slice(0, 60).filter((_, index) => index % 6 === 0));
		let left = groups.length;
		for (const group of groups.filter((_, index) => index % 6 !== 0)) {
			pool.leave(group);
			left -= 1;
			expect(kernel.sizes()).toHaveLength(Math.ceil(left / 20));
		}
		expect(kernel.sizes()).toEqual([10]);
		expect(least()).toBe(1);
	});

	test("all sources of a group move together, and the modes of one group stay apart", () => {
		const { kernel, pool } = make();
		for (let index = 1; index <= 20; index += 1) pool.join(member(`239.1.1.${index}`));
		for (let source = 1; source <= 3; source += 1) pool.join(member("239.1.1.1", `10.0.0.${source}`));
		pool.join(member("239.1.2.1", "10.0.0.1"));
		pool.join(member("239.1.2.1", "10.0.0.2"));
		expect(kernel.sizes()).toEqual([20, 2]);
		for (const index of [2, 3]) pool.leave(member(`239.1.1.${index}`));
		// Room for both, but not for both modes of one.
		expect(kernel.sizes()).toEqual([18, 2]);
		pool.leave(member("239.1.1.1"));
		expect(kernel.sizes()).toEqual([19]);
		for (let source = 1; source <= 3; source += 1) pool.leave(member("239.1.1.1", `10.0.0.${source}`));
		pool.leave(member("239.1.2.1", "10.0.0.1"));
		expect(kernel.sizes()).toEqual([18]);
	});

	test("a socket that takes less than it should keeps what it has, and so does the other", () => {
		const { kernel, pool } = make();
		for (let index = 1; index <= 21; index += 1) pool.join(member(`239.1.1.${index}`));
		kernel.groupLimit = 10;
		for (const index of [1, 2]) pool.leave(member(`239.1.1.${index}`));
		expect(kernel.sizes()).toEqual([18, 1]);
	});

	test("closing leaves everything", () => {
		const { kernel, pool } = make();
		for (let index = 1; index <= 45; index += 1) pool.join(member(`239.1.1.${index}`));
		pool.close();
		expect(kernel.sizes()).toEqual([]);
	});
});
