import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { besideBundle } from "../beside.ts";
import { CommandFailure, exitCodes } from "../failure.ts";
import type { StageSource } from "./stage.ts";

const EXECUTABLE_BITS = 0o111;

/** Everything of the build, and the two programs that services run in or talk to. */
export function findStageSources(): { readonly sources: StageSource[]; readonly natsServer: string } {
	const build = dirname(besideBundle("control-api.js"));
	const natsServer = findNatsServer(build);
	const built = readdirSync(build, { withFileTypes: true })
		.filter((entry) => entry.isFile() && !entry.name.startsWith("."))
		.map(({ name }) => {
			const path = join(build, name);
			return { name, path, executable: (statSync(path).mode & EXECUTABLE_BITS) !== 0, shared: false };
		});
	const sources = [
		...built,
		{ name: "bun", path: process.execPath, executable: true, shared: true },
		{ name: "nats-server", path: natsServer, executable: true, shared: true },
	];
	return { sources, natsServer };
}

/** The one demanded, the one that the launcher fetched beside the build, or the machine's. */
function findNatsServer(build: string): string {
	const demanded = process.env["SLUICE_NATS_SERVER"];
	if (demanded) return demanded;
	const fetched = join(build, "..", ".tools", "bin", "nats-server");
	const found = existsSync(fetched) ? fetched : Bun.which("nats-server");
	if (found !== null) return found;
	throw new CommandFailure(
		exitCodes.failed,
		"there is no nats-server: run ./sluice build, which fetches one, or name one in SLUICE_NATS_SERVER",
	);
}
