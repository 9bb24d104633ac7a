import { afterAll, beforeAll, describe } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { Deployment } from "./deployment.ts";
import { Engine, whyNoEngine } from "./engine.ts";
import { RelayHosts } from "./hosts.ts";
import { startWithImages } from "./images.ts";

/** relay-a: compose.yaml as it is, on an engine of its own whose "host network" is the relay's namespace. */
export class RelayHost {
	/** For files of the test's own. */
	readonly folder = mkdtempSync("/tmp/sluice-compose-");

	private constructor(
		readonly lab: RelayHosts,
		readonly engine: Engine,
		readonly host: Deployment,
	) {}

	static async create(settings: Readonly<Record<string, string>>): Promise<RelayHost> {
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
		await this.lab.addRule(this.host);
	}

	async remove(): Promise<void> {
		await this.engine.remove();
		await this.lab.remove();
		rmSync(this.folder, { recursive: true });
	}
}

const reason = await whyNoEngine();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** Where there can be no engine its tests are skipped. */
export const describeOnEngine = describe.skipIf(reason !== undefined);

/** One for all tests of a describeOnEngine(). */
export function withRelayHost(
	begin: (relayHost: RelayHost) => Promise<void>,
	settings: Readonly<Record<string, string>> = {},
): void {
	let relayHost: RelayHost | undefined;
	beforeAll(async () => {
		relayHost = await RelayHost.create(settings);
		await begin(relayHost);
	}, 600_000);
	afterAll(() => relayHost?.remove());
}
