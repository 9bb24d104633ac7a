/** results.json: everything that was measured, and where. */

import type { Row } from "../bench.ts";
import type { Case } from "../cases/case.ts";
import type { GeneratorLimits } from "../generator.ts";
import type { Machine } from "../machine.ts";
import type { Placement } from "../network.ts";
import type { Peer } from "../peers/peer.ts";
import type { Verdict } from "../targets.ts";

export interface Results {
	/** Of this shape. */
	readonly version: 1;
	readonly startedAt: string;
	readonly seconds: number;
	readonly quick: boolean;
	readonly commit: string;
	readonly machine: Machine;
	readonly versions: Record<string, string>;
	readonly cpus: { traffic: number | null; relay: number | null };
	/** What the generator alone reaches on one CPU. */
	readonly generator: GeneratorLimits;
	readonly peers: { name: string; about: string; absent: string | null; version: string | null }[];
	readonly cases: CaseResults[];
	/** Of the targets whose cases ran. */
	readonly verdicts: readonly Verdict[];
}

export interface CaseResults {
	readonly name: string;
	readonly title: string;
	readonly traffic: string;
	readonly rows: (Omit<Row, "case" | "skipped"> & { skipped: string | null })[];
}

export interface Measured {
	readonly startedAt: Date;
	readonly quick: boolean;
	readonly commit: string;
	readonly machine: Machine;
	readonly versions: Record<string, string>;
	readonly cpus: Placement;
	readonly generator: GeneratorLimits;
	readonly peers: readonly Peer[];
	readonly cases: readonly Case[];
	readonly rows: readonly Row[];
	readonly verdicts: readonly Verdict[];
}

export async function results(measured: Measured): Promise<Results> {
	const peers = measured.peers.map(async (peer) => {
		const absent = peer.absent() ?? null;
		const version = absent === null ? await peer.version() : undefined;
		return { name: peer.name, about: peer.about, absent, version: version ?? null };
	});
	return {
		version: 1,
		startedAt: measured.startedAt.toISOString(),
		seconds: (Date.now() - measured.startedAt.getTime()) / 1_000,
		quick: measured.quick,
		commit: measured.commit,
		machine: measured.machine,
		versions: measured.versions,
		cpus: { traffic: measured.cpus.traffic ?? null, relay: measured.cpus.relay ?? null },
		generator: measured.generator,
		peers: await Promise.all(peers),
		verdicts: measured.verdicts,
		cases: measured.cases.map(({ name, title, traffic }) => ({
			...{ name, title, traffic },
			rows: measured.rows
				.filter((row) => row.case === name)
				.map(({ variant, wire, peer, skipped, figures, samples }) => ({
					...{ variant, wire, peer, skipped: skipped ?? null, figures, samples },
				})),
		})),
	};
}
