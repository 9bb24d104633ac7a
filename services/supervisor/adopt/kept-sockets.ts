import type { Dataplane } from "../apply/dataplane.ts";
import { drainKey } from "../reconcile/keys.ts";
import type { Keeping } from "./keeping.ts";
import { membershipName, parseName } from "./names.ts";

/**
 * The keeper's store has an end, in descriptors and in bytes of names, and a worker or a ring that
 * finds no room there costs packets; a drain costs "port unreachable" until its successor opens it.
 */
const MOST_DRAINS = 512;

type Sockets = Pick<Dataplane, "openMembership" | "openDrain" | "closeDescriptor">;

/** Join and drain sockets that the keeper has as well, until they are closed here. */
export class KeptSockets implements Sockets {
	readonly #kernel: Sockets;
	readonly #keeping: Keeping;
	readonly #names = new Map<number, string>();
	#memberships: number;
	#drains = 0;

	/** @param memberships numbers below this one are taken. */
	constructor(kernel: Sockets, keeping: Keeping, memberships: number) {
		this.#kernel = kernel;
		this.#keeping = keeping;
		this.#memberships = memberships;
	}

	/** One that a supervisor before this one opened. */
	adopt(name: string, fd: number): void {
		this.#names.set(fd, name);
		if (isDrain(name)) this.#drains += 1;
	}

	readonly openMembership = (): number => {
		const fd = this.#kernel.openMembership();
		this.#keep(membershipName(this.#memberships++), fd);
		return fd;
	};

	readonly openDrain = (ifindex: number, address: number, port: number): number | undefined => {
		const fd = this.#kernel.openDrain(ifindex, address, port);
		if (fd !== undefined && this.#drains < MOST_DRAINS) {
			this.#drains += 1;
			this.#keep(drainKey(ifindex, address, port), fd);
		}
		return fd;
	};

	readonly closeDescriptor = (fd: number): void => {
		const name = this.#names.get(fd);
		if (name !== undefined) this.#keeping.release(name);
		if (name !== undefined && isDrain(name)) this.#drains -= 1;
		this.#names.delete(fd);
		this.#kernel.closeDescriptor(fd);
	};

	#keep(name: string, fd: number): void {
		this.#names.set(fd, name);
		this.#keeping.keep(name, [fd]);
	}
}

function isDrain(name: string): boolean {
	return parseName(name)?.kind === "drain";
}
