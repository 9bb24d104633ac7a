import type { Membership } from "../reconcile/types.ts";
import type { Dataplane } from "./dataplane.ts";

/** The kernel's igmp_max_memberships as it comes. */
const GROUPS_PER_SOCKET = 20;

/** The part of the data plane this needs. */
export type MembershipSockets = Pick<
	Dataplane,
	"openMembership" | "joinGroup" | "leaveGroup" | "closeDescriptor"
>;

interface JoinedGroup {
	readonly ifindex: number;
	readonly group: number;
	/** 0 alone: any source; otherwise the single sources. */
	readonly sources: Set<number>;
}

interface PoolSocket {
	readonly fd: number;
	readonly groups: Map<string, JoinedGroup>;
	/** Shrinks when the kernel says that less is allowed here. */
	capacity: number;
}

/**
 * Memberships spread over sockets, since one socket may hold only 20 groups.
 * All sources of one group on one interface share a socket; (*,G) and (S,G) of one
 * group never do, which also lets both be joined while one replaces the other.
 * There are no more sockets than the memberships need, whatever was joined and left before.
 */
export class MembershipPool {
	readonly #sockets: PoolSocket[] = [];
	readonly #kernel: MembershipSockets;

	constructor(kernel: MembershipSockets) {
		this.#kernel = kernel;
	}

	join(membership: Membership): void {
		const key = groupName(membership);
		const sharing = membership.source === 0 ? undefined : this.#withSourcesOf(key);
		if (sharing !== undefined) {
			this.#joinSource(sharing, key, membership);
			return;
		}
		for (;;) {
			const socket = this.#withRoomFor(key);
			if (this.#joinGroup(socket, key, membership)) return;
			if (socket.groups.size === 0) {
				this.#drop(socket);
				throw new Error("no membership is allowed here: raise net.ipv4.igmp_max_memberships");
			}
			// Less is allowed here than the kernel's usual number.
			socket.capacity = socket.groups.size;
		}
	}

	/** Leaves and joins on the same socket: the switch may have forgotten us. */
	rejoin(membership: Membership): void {
		this.leave(membership);
		this.join(membership);
	}

	leave(membership: Membership): void {
		const key = groupName(membership);
		const socket = this.#sockets.findLast((candidate) =>
			candidate.groups.get(key)?.sources.has(membership.source),
		);
		const joined = socket?.groups.get(key);
		if (socket === undefined || joined === undefined) return;
		joined.sources.delete(membership.source);
		if (joined.sources.size === 0) socket.groups.delete(key);
		try {
			this.#kernel.leaveGroup(socket.fd, membership.ifindex, membership.group, membership.source);
		} finally {
			if (socket.groups.size === 0) this.#drop(socket);
			this.#gather();
		}
	}

	/** Leaves everything: the kernel says so to the network as the sockets close. */
	close(): void {
		for (const socket of this.#sockets.splice(0)) this.#kernel.closeDescriptor(socket.fd);
	}

	get socketCount(): number {
		return this.#sockets.length;
	}

	/** Empties the socket with the fewest groups into the others, when those have room for all of them. */
	#gather(): void {
		let [emptiest] = this.#sockets;
		if (emptiest === undefined) return;
		let room = 0;
		for (const socket of this.#sockets) {
			room += socket.capacity - socket.groups.size;
			if (socket.groups.size < emptiest.groups.size) emptiest = socket;
		}
		// The room of all, itself among them.
		if (room < emptiest.capacity) return;
		const others = this.#sockets.filter((socket) => socket !== emptiest);
		for (const [key, joined] of [...emptiest.groups]) {
			const target = others.find(({ groups, capacity }) => groups.size < capacity && !groups.has(key));
			if (target === undefined || !this.#move(emptiest, target, key, joined)) return;
		}
		this.#drop(emptiest);
	}

	/** Joined there before it is left here, so that the network hears of nothing. False: it stays here. */
	#move(from: PoolSocket, to: PoolSocket, key: string, joined: JoinedGroup): boolean {
		const { ifindex, group, sources } = joined;
		const moved: number[] = [];
		try {
			for (const source of sources) {
				if (!this.#kernel.joinGroup(to.fd, ifindex, group, source)) break;
				moved.push(source);
			}
			const isWhole = moved.length === sources.size;
			for (const source of moved) this.#kernel.leaveGroup((isWhole ? from : to).fd, ifindex, group, source);
			if (!isWhole) to.capacity = to.groups.size;
			if (!isWhole) return false;
		} catch {
			// The interface goes just now, and all its memberships with it.
			return false;
		}
		from.groups.delete(key);
		to.groups.set(key, joined);
		return true;
	}

	#withSourcesOf(key: string): PoolSocket | undefined {
		return this.#sockets.find((socket) => {
			const joined = socket.groups.get(key);
			return joined !== undefined && !joined.sources.has(0);
		});
	}

	#withRoomFor(key: string): PoolSocket {
		const found = this.#sockets.find(
			(socket) => socket.groups.size < socket.capacity && !socket.groups.has(key),
		);
		if (found !== undefined) return found;
		const socket = { fd: this.#kernel.openMembership(), groups: new Map(), capacity: GROUPS_PER_SOCKET };
		this.#sockets.push(socket);
		return socket;
	}

	/** False: the socket is full. */
	#joinGroup(socket: PoolSocket, key: string, { ifindex, group, source }: Membership): boolean {
		try {
			if (!this.#kernel.joinGroup(socket.fd, ifindex, group, source)) return false;
		} catch (thrown) {
			if (socket.groups.size === 0) this.#drop(socket);
			throw thrown;
		}
		socket.groups.set(key, { ifindex, group, sources: new Set([source]) });
		return true;
	}

	#joinSource(socket: PoolSocket, key: string, { ifindex, group, source }: Membership): void {
		const joined = socket.groups.get(key);
		if (joined === undefined || joined.sources.has(source)) return;
		if (!this.#kernel.joinGroup(socket.fd, ifindex, group, source)) {
			throw new Error("too many sources of one group: raise net.ipv4.igmp_max_msf or name a range");
		}
		joined.sources.add(source);
	}

	#drop(socket: PoolSocket): void {
		const index = this.#sockets.indexOf(socket);
		if (index >= 0) this.#sockets.splice(index, 1);
		this.#kernel.closeDescriptor(socket.fd);
	}
}

function groupName({ ifindex, group }: Membership): string {
	return `${ifindex}/${group}`;
}
