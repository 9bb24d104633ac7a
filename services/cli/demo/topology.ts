import { CommandFailure, exitCodes } from "../failure.ts";
import type { Processes } from "./processes.ts";

const CARRIER_TIMEOUT_MS = 5_000;

/** One end of the demo's networks: a network namespace. */
export interface Place {
	readonly namespace: string;
	/** The command line that runs `argv` there. */
	inside(argv: string[]): string[];
}

export interface Topology {
	source: Place;
	relay: Place;
	studio: Place;
	office: Place;
}

/**
 * What the demo builds. The relay has no route back to the source, so its kernel
 * alone would drop every datagram that arrives on r0.
 */
export const picture = `
   camera network             relay host             studio network
  ┌──────────────┐         ┌─────────────┐         ┌────────────────┐
  │    source    │s0 ─── r0│             │r1 ─── d0│ 239.10.1.1     │
  │  172.16.9.2  │         │   Sluice    │         │ 239.10.1.2     │
  │  239.1.1.1   │         │             │         └────────────────┘
  └──────────────┘         │             │           office network
                           │             │         ┌────────────────┐
                           │             │r2 ─── d0│ 239.20.1.1     │
                           └─────────────┘         └────────────────┘
`;

/** Namespaces with random names, so that several demos can run side by side. */
export function nameTopology(): Topology {
	const id = crypto.randomUUID().slice(0, 6);
	const place = (role: string): Place => {
		const namespace = `slc-${id}-${role}`;
		return { namespace, inside: (argv) => ["ip", "netns", "exec", namespace, ...argv] };
	};
	return { source: place("src"), relay: place("relay"), studio: place("studio"), office: place("office") };
}

export async function buildTopology(processes: Processes, places: Topology): Promise<void> {
	for (const place of Object.values(places)) {
		await processes.run(["ip", "netns", "add", place.namespace]);
		await processes.run(["ip", "-n", place.namespace, "link", "set", "lo", "up"]);
	}
	const { source, relay, studio, office } = places;
	// The strict reverse-path check of a careful administrator, before the links exist.
	await processes.run(relay.inside(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter"]));
	await link(
		processes,
		{ place: source, name: "s0", address: "172.16.9.2/24" },
		end(relay, "r0", "192.168.50.1/24"),
	);
	await link(processes, end(relay, "r1", "10.1.0.1/24"), end(studio, "d0", "10.1.0.2/24"));
	await link(processes, end(relay, "r2", "10.2.0.1/24"), end(office, "d0", "10.2.0.2/24"));
}

/** Removes what there is of it; a namespace takes its links along. */
export function removeTopology(places: Topology): void {
	for (const { namespace } of Object.values(places)) {
		// It fails for a namespace that was never made, which is as good.
		Bun.spawnSync(["ip", "netns", "delete", namespace], { stdio: ["ignore", "ignore", "ignore"] });
	}
}

interface End {
	place: Place;
	name: string;
	address: string;
}

function end(place: Place, name: string, address: string): End {
	return { place, name, address };
}

async function link(processes: Processes, one: End, other: End): Promise<void> {
	const from = ["netns", one.place.namespace, "name", one.name];
	const to = ["netns", other.place.namespace, "name", other.name];
	await processes.run(["ip", "link", "add", ...from, "type", "veth", "peer", ...to]);
	for (const { place, name, address } of [one, other]) {
		await processes.run(["ip", "-n", place.namespace, "address", "add", address, "dev", name]);
		await processes.run(["ip", "-n", place.namespace, "link", "set", name, "up"]);
	}
	for (const { place, name } of [one, other]) await untilRunning(processes, place, name);
}

/** The kernel tells of a carrier a moment after both ends are up. */
async function untilRunning(processes: Processes, place: Place, name: string): Promise<void> {
	const deadline = performance.now() + CARRIER_TIMEOUT_MS;
	while (!(await processes.run(["ip", "-n", place.namespace, "link", "show", name])).includes("state UP")) {
		if (performance.now() > deadline) {
			throw new CommandFailure(
				exitCodes.failed,
				`${name} in ${place.namespace} does not come up: see ip -d link`,
			);
		}
		await Bun.sleep(20);
	}
}
