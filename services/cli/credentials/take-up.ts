import { readFile } from "node:fs/promises";
import { connectNats } from "@sluice/lib/connect";
import { SluiceError } from "@sluice/lib/errors";
import { CommandFailure, exitCodes } from "../failure.ts";
import type { DataDir } from "../up/data-dir.ts";
import { nkeyCredentialsFile, publicKeyOf, type ServerAddress } from "../up/identities.ts";

/** What became of a change: the running server knows of it, or it will when there is one. */
export type TakenUp = "now" | "at the next up";

const LOOK_EACH_MS = 20;

/** Waits until nats-server lets a new key in. @throws CommandFailure when it does not in time. */
export async function untilAccepted(dataDir: DataDir, seed: string, timeoutMs: number): Promise<TakenUp> {
	const deadline = performance.now() + timeoutMs;
	const key = publicKeyOf(seed);
	if ((await untilConf(dataDir, deadline, (conf) => conf.includes(key))) === "at the next up")
		return "at the next up";
	const server = nkeyCredentialsFile.parse(
		JSON.parse(await readFile(dataDir.credentials("operator"), "utf8")),
	);
	while (performance.now() < deadline) {
		if (await isLetIn(server, seed)) return "now";
		await Bun.sleep(LOOK_EACH_MS);
	}
	throw notTakenUp();
}

/** Waits until the configuration lacks a key. @throws CommandFailure when it does not in time. */
export async function untilForgotten(dataDir: DataDir, keys: string[], timeoutMs: number): Promise<TakenUp> {
	const deadline = performance.now() + timeoutMs;
	return await untilConf(dataDir, deadline, (conf) => !keys.some((key) => conf.includes(key)));
}

async function untilConf(
	dataDir: DataDir,
	deadline: number,
	is: (conf: string) => boolean,
): Promise<TakenUp> {
	while (dataDir.isInUse) {
		if (is(await readFile(dataDir.natsConf, "utf8"))) return "now";
		if (performance.now() > deadline) throw notTakenUp();
		await Bun.sleep(LOOK_EACH_MS);
	}
	return "at the next up";
}

async function isLetIn({ url, ca, serverName }: ServerAddress, seed: string): Promise<boolean> {
	try {
		const credentials = { kind: "nkey", seed, ca, serverName } as const;
		const nc = await connectNats({ url, credentials, name: "credentials", waitOnFirstConnect: false });
		await nc.close();
		return true;
	} catch (error) {
		// It is being started again, or has not read the configuration yet.
		if (error instanceof SluiceError) return false;
		throw error;
	}
}

function notTakenUp(): CommandFailure {
	return new CommandFailure(
		exitCodes.failed,
		"sluice up did not take the change up in time: look at its log, or start it again",
	);
}
