import { expect } from "bun:test";
import { Deployment } from "./deployment.ts";
import { Engine } from "./engine.ts";
import { RelayHosts } from "./hosts.ts";
import { startWithImages } from "./images.ts";

/** relay-a: compose.yaml as it is, on an engine of its own whose "host network" is the relay's namespace. */
export class RelayHost {
	private constructor(
		readonly lab: RelayHosts,
		readonly engine: Engine,
		readonly host: Deployment,
	) {}

	static async create(settings: Readonly<Record<string, string>> = {}): Promise<RelayHost> {
		const lab = await RelayHosts.create();
		const engine = new Engine();
		const host = new Deployment(engine, { SLUICE_HOST_ID: "relay-a", SLUICE_WORKERS: "2", ...settings });
		const made = new RelayHost(lab, engine, host);
		await startWithImages(engine, lab.a).catch(async (error: Error) => {
			await made.remove();
			throw error;
		});
		return made;
	}

	/** Everything runs, is healthy, and has the rule whose stream `lab` sends. */
	async up(): Promise<void> {
		await this.host.compose("up", "--detach", "--no-build");
		await this.host.healthy();
		const answer = await this.host.sluice(
			...["control-api", "rule", "add", "video"],
			...["--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001"],
		);
		expect(answer).toBe("rule video: ACTIVE on relay-a\n");
	}

	async remove(): Promise<void> {
		await this.engine.remove();
		await this.lab.remove();
	}
}
