import type { NatsConnection } from "@nats-io/transport-node";
import { discoverySubject } from "@sluice/proto/subjects";

const ROUND_MS = 1_000;
/** One that is busy may miss a round. */
const ROUNDS_MISSED = 3;

/** Answers `work`, unless all that serve `service` when it begins have ended: what they had taken has no answer. */
export async function whileServed<T>(
	nc: NatsConnection,
	service: string,
	begin: () => Promise<T>,
	gone: () => Error,
): Promise<T> {
	let over = false;
	// Asked before: who has taken the work may have no time to say so.
	const asked = instances(nc, service);
	const work = begin();
	const watch = async (): Promise<T> => {
		const first = await asked;
		for (let missed = 0; !over && missed < ROUNDS_MISSED; ) {
			const [now] = await Promise.all([instances(nc, service), Bun.sleep(ROUND_MS)]);
			// Of a service that nobody was seen to serve nothing can be said.
			missed = first.size === 0 || first.intersection(now).size > 0 ? 0 : missed + 1;
		}
		if (over) return await work;
		throw gone();
	};
	try {
		return await Promise.race([work, watch()]);
	} finally {
		over = true;
	}
}

/** The ids of those that answer; none while the connection is away. */
async function instances(nc: NatsConnection, service: string): Promise<ReadonlySet<string>> {
	const found = new Set<string>();
	try {
		const options = { strategy: "timer", maxWait: ROUND_MS } as const;
		for await (const answer of await nc.requestMany(discoverySubject("PING", service), "", options))
			found.add(answer.json<{ id: string }>().id);
	} catch {
		// Nobody serves it, or the connection is closed.
	}
	return found;
}
