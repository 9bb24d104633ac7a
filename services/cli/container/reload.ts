import type { NatsConnection } from "@nats-io/transport-node";
import { errorText, SluiceError } from "@sluice/lib/errors";
import { reloadSubject } from "../up/nats-conf.ts";

const ANSWER_LIMIT_MS = 2_000;

/** @throws SluiceError when the server does not take its configuration: it goes on with the one before. */
export async function reload(nc: NatsConnection): Promise<void> {
	let answer: { error?: { description?: string } };
	try {
		const reply = await nc.request(reloadSubject(nc.info?.server_id ?? ""), "", { timeout: ANSWER_LIMIT_MS });
		answer = reply.json();
	} catch (thrown) {
		throw new SluiceError("unavailable", `nats-server does not answer: ${errorText(thrown)}`, {
			cause: thrown,
		});
	}
	if (answer.error !== undefined)
		throw new SluiceError(
			"unavailable",
			`nats-server refuses nats.conf: ${answer.error.description ?? "no reason"}`,
		);
}
