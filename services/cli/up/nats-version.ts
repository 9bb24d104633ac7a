import { CommandFailure, exitCodes } from "../failure.ts";

/** The first 2.10 without CVE-2025-30215. */
const MINIMUM_NATS_VERSION = "2.10.27";

/** @throws CommandFailure when the server is too old, naming both versions. */
export function checkNatsServer(path: string): void {
	const { stdout } = Bun.spawnSync([path, "--version"], { stdio: ["ignore", "pipe", "ignore"] });
	const version = /v(\d+\.\d+\.\d+)/.exec(stdout.toString())?.[1];
	if (version === undefined) {
		throw new CommandFailure(exitCodes.failed, `${path} does not say its version: is it a nats-server?`);
	}
	if (Bun.semver.order(version, MINIMUM_NATS_VERSION) < 0) {
		throw new CommandFailure(
			exitCodes.failed,
			`${path} is version ${version} and Sluice needs ${MINIMUM_NATS_VERSION} or newer: ` +
				"remove it and let ./sluice fetch one, or name another in SLUICE_NATS_SERVER",
		);
	}
}
