import { toBinary } from "@bufbuild/protobuf";
import { errors, headers, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { onBeat } from "@sluice/lib/beat";
import { errorText } from "@sluice/lib/errors";
import { CONTENT_TYPE_HEADER, JSON_CONTENT_TYPE } from "@sluice/lib/headers";
import { toJsonText } from "@sluice/lib/json";
import type { ServiceLogger } from "@sluice/lib/log";
import { RuleStatsSchema } from "@sluice/proto/gen/stats";
import { requests, statsJsonSubject, statsSubject } from "@sluice/proto/subjects";
import type { CataloguedRule } from "./catalogue.ts";
import { steadyNowMs } from "./clock.ts";
import type { Fold } from "./fold.ts";
import { EVERYTHING, type Listened, listened } from "./listeners.ts";
import { Publication } from "./publication.ts";
import { ruleStats } from "./query.ts";

const PUBLISH_EVERY_MS = 1000;

/** Figures of the rules that somebody listens to, in protobuf and in JSON, as long as the process lives. */
export function publishEachSecond(
	host: string,
	nc: NatsConnection,
	logger: ServiceLogger,
	fold: Fold,
	rules: () => readonly CataloguedRule[],
): void {
	const log = logger.facility("query");
	const json = jsonHeaders();
	const listeners = listenersOf(nc, log);
	const publication = new Publication(listeners, (rule, heard, nowMs) => {
		const binary = statsSubject(rule.name);
		const text = statsJsonSubject(rule.name);
		// Of a rule named get that is the subject of requests.
		const toBinaries = binary !== requests.statsGet && heard.has(binary);
		const toTexts = heard.has(text);
		if (!toBinaries && !toTexts) return false;
		const stats = ruleStats(fold, rule, nowMs);
		if (toBinaries) nc.publish(binary, toBinary(RuleStatsSchema, stats));
		if (toTexts) nc.publish(text, toJsonText(RuleStatsSchema, stats), { headers: json });
		return true;
	});
	let said = "";
	onBeat(host, PUBLISH_EVERY_MS, async () => {
		try {
			log.debug({ rules: await publication.run(rules(), steadyNowMs()) }, "published");
			said = "";
		} catch (thrown) {
			const error = errorText(thrown);
			if (error !== said) log.warn({ error }, "statistics were not published");
			said = error;
		}
	});
}

/** From who stands still, or is away, nobody hears these figures in their second: they would only wait in our memory. */
const NOBODY: Listened = { any: false, has: () => false };

/** A server that answers, and does not say who listens, costs time, and nobody a figure. */
function listenersOf(
	nc: NatsConnection,
	log: ReturnType<ServiceLogger["facility"]>,
): () => Promise<Listened> {
	let unknown = false;
	return async () => {
		try {
			const heard = await listened(nc);
			unknown = false;
			return heard;
		} catch (thrown) {
			if (thrown instanceof errors.TimeoutError) return NOBODY;
			if (!unknown) log.info({ error: errorText(thrown) }, "who listens is not known: all figures are sent");
			unknown = true;
			return EVERYTHING;
		}
	};
}

function jsonHeaders(): MsgHdrs {
	const sent = headers();
	sent.set(CONTENT_TYPE_HEADER, JSON_CONTENT_TYPE);
	return sent;
}
