import {
	barrier,
	listenDescriptors,
	NOTIFY_MAX_DESCRIPTORS,
	notify,
} from "@sluice/dataplane/descriptor-store";

/** A descriptor that outlived the supervisor that stored it. */
export interface StoredDescriptor {
	readonly name: string;
	readonly fd: number;
}

/** Printable ASCII; ':' separates names when they come back. */
const NAME = /^[!-9;-~]{1,255}$/;

/**
 * The descriptors stored by supervisors before this one, in the order in which they were
 * stored; several may share a name. They belong to the caller now, and stay in the store.
 * Once, before any process is started.
 */
export function takeStored(): StoredDescriptor[] {
	const names = process.env["LISTEN_FDNAMES"]?.split(":") ?? [];
	const stored = listenDescriptors().map((fd, index) => ({ name: names[index] ?? "unknown", fd }));
	// They are about this process: nobody that it starts shall believe them.
	for (const variable of ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"]) delete process.env[variable];
	return stored;
}

/**
 * Keeps descriptors for whoever comes after this process, under one name, in that order.
 * They stay open here; the store has its own. One that is in the store already under any
 * name is not stored twice. False: nobody keeps any.
 */
export function store(name: string, fds: readonly number[]): boolean {
	let kept = true;
	for (let first = 0; first < fds.length && kept; first += NOTIFY_MAX_DESCRIPTORS) {
		const part = fds.slice(first, first + NOTIFY_MAX_DESCRIPTORS);
		kept = notify(["FDSTORE=1", `FDNAME=${checked(name)}`], part);
	}
	return kept;
}

/** Takes every descriptor of that name out of the store. */
export function forget(name: string): boolean {
	return notify(["FDSTOREREMOVE=1", `FDNAME=${checked(name)}`]);
}

/** Resolves when whoever keeps descriptors has done all of the above; rejects when that can't be asked now. */
export async function done(): Promise<void> {
	await barrier();
}

function checked(name: string): string {
	if (!NAME.test(name)) throw new RangeError(`${JSON.stringify(name)} cannot name a descriptor`);
	return name;
}
