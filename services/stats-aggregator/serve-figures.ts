import { create } from "@bufbuild/protobuf";
import type { NatsConnection } from "@nats-io/transport-node";
import { serveCommands } from "@sluice/lib/commands";
import { errorText, SluiceError } from "@sluice/lib/errors";
import type { ServiceLogger } from "@sluice/lib/log";
import { endpoint } from "@sluice/lib/service";
import {
	EndedRunRequestSchema,
	EndedRunResponseSchema,
	KeepLastRequestSchema,
	KeepLastResponseSchema,
} from "@sluice/proto/gen/stats";
import { endedRunSubject, hostOfFigures, keepLastSubject } from "@sluice/proto/subjects";
import type { Countable } from "./catalogue.ts";
import { steadyNowMs } from "./clock.ts";
import type { FigureKeeper } from "./keep-figures.ts";
import { decodeEnded } from "./stored-figures.ts";

/** One request has a part of a host's rules. */
const AT_ONCE = 16;

/** Answers what supervisors and control-api ask of whoever keeps figures. */
export async function serveFigures(
	nc: NatsConnection,
	keeper: FigureKeeper,
	stored: () => Countable,
	logger: ServiceLogger,
): Promise<void> {
	const commands = [
		endpoint({
			name: "ended",
			subject: endedRunSubject("*"),
			request: EndedRunRequestSchema,
			response: EndedRunResponseSchema,
			async handle(request, subject) {
				const countable = stored();
				if (countable === undefined)
					throw new SluiceError("unavailable", "which rules there are is not known now: try again");
				const nowMs = steadyNowMs();
				const run = decodeEnded(request, nowMs, countable);
				await keeper.takeEnded(hostOfFigures(subject), run, nowMs - Number(request.ageMs));
				return create(EndedRunResponseSchema);
			},
		}),
		endpoint({
			name: "last",
			subject: keepLastSubject("*"),
			request: KeepLastRequestSchema,
			response: KeepLastResponseSchema,
			async handle(_, subject) {
				await keeper.takeLast(hostOfFigures(subject));
				return create(KeepLastResponseSchema);
			},
		}),
	];
	serveCommands(nc, commands, {
		queue: "figures",
		concurrencyLimit: AT_ONCE,
		onTrouble: (thrown) => {
			logger
				.facility("fold")
				.warn({ error: errorText(thrown) }, "what hosts counted unheard cannot be taken");
		},
	});
	// Until the server has seen the subscriptions, requests find no responder.
	await nc.flush();
}
