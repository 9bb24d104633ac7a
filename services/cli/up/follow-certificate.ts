import { unwatchFile, watchFile } from "node:fs";
import { errorText } from "@sluice/lib/errors";
import type { Child } from "./child.ts";
import type { DataDir } from "./data-dir.ts";
import type { KeeperLog } from "./log-stream.ts";
import { type NatsTls, type NatsTlsFiles, readNatsTls } from "./nats-tls.ts";

const LOOK_EACH_MS = 2_000;
/** What failed may do so for another reason than the files, as on a full disk: they need not change again. */
const AGAIN_AFTER_MS = 5_000;

/**
 * Lets the running server show a certificate that was renewed: connections stand. One that others would not believe is
 * left where it is, and told.
 * @param tls what the server shows.
 * @param gid the server's group.
 * @returns the way to stop.
 */
export function followCertificate(
	files: NatsTlsFiles,
	tls: NatsTls,
	server: Pick<Child, "ready" | "signal">,
	dataDir: DataDir,
	gid: number,
	log: Pick<KeeperLog, "info" | "warn">,
): () => void {
	let current = tls;
	let stopped = false;
	const review = async () => {
		const fresh = await readNatsTls(files);
		if (stopped || (fresh.certificate === current.certificate && fresh.key === current.key)) return;
		const { ca, serverName } = tls.trust;
		if (fresh.trust.ca !== ca || fresh.trust.serverName !== serverName)
			throw new Error("it has another name or authority: start sluice up anew, and make credentials anew");
		await dataDir.writeNatsTls(fresh, gid);
		current = fresh;
		await server.ready;
		server.signal("SIGHUP");
		log.info("certificate changed: nats-server shows the new one");
	};
	let reviews = Promise.resolve();
	let again: Timer | undefined;
	let said = "";
	const look = () => {
		clearTimeout(again);
		reviews = reviews.then(review).then(
			() => {
				said = "";
			},
			(error: unknown) => {
				// Two files cannot be replaced in one step: the next look may find them together.
				const text = `the certificate of nats-server stays as it was: ${errorText(error)}`;
				if (text !== said) log.warn(text);
				said = text;
				if (!stopped) again = setTimeout(look, AGAIN_AFTER_MS);
			},
		);
	};
	const paths = [files.certificate, files.key];
	for (const path of paths) watchFile(path, { interval: LOOK_EACH_MS }, look);
	return () => {
		stopped = true;
		clearTimeout(again);
		for (const path of paths) unwatchFile(path, look);
	};
}
