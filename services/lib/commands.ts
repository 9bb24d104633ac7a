import { headers, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { httpStatus, SluiceError, toSluiceError } from "./errors.ts";
import { SERVICE_ERROR_CODE_HEADER, SERVICE_ERROR_HEADER } from "./headers.ts";
import { answeringInboxesOnly } from "./inbox-replies.ts";
import type { ServiceEndpoint } from "./service.ts";

export interface CommandsOptions {
	/** Of all who answer the same; absent: everybody hears everything. */
	readonly queue?: string;
	/** More under way are refused as `unavailable`. */
	readonly concurrencyLimit?: number;
	readonly onTrouble?: (thrown: Error) => void;
}

/**
 * Answers what the cluster's own processes ask of each other, in protobuf: no service that others discover.
 * As with `serve`, requests whose reply subject is no inbox are not heard (ADR 0073).
 */
export function serveCommands(
	nc: NatsConnection,
	commands: readonly ServiceEndpoint[],
	{ queue, concurrencyLimit = Number.POSITIVE_INFINITY, onTrouble }: CommandsOptions = {},
): void {
	const door = answeringInboxesOnly(nc);
	let underWay = 0;
	const take = async (command: ServiceEndpoint, message: Msg) => {
		underWay += 1;
		await answer(command, message, underWay > concurrencyLimit);
		underWay -= 1;
	};
	for (const command of commands) {
		door.subscribe(command.subject, {
			...(queue === undefined ? {} : { queue }),
			callback: (problem, message) => {
				if (problem === null) void take(command, message);
				else onTrouble?.(problem);
			},
		});
	}
}

async function answer(command: ServiceEndpoint, message: Msg, full: boolean): Promise<void> {
	try {
		if (full) throw new SluiceError("unavailable", "too many requests are under way: try again");
		message.respond(await command.answer(message.data, false, message.subject));
	} catch (thrown) {
		const error = toSluiceError(thrown);
		const sent = headers();
		sent.set(SERVICE_ERROR_CODE_HEADER, String(httpStatus(error.code)));
		sent.set(SERVICE_ERROR_HEADER, error.message);
		message.respond(new Uint8Array(), { headers: sent });
	}
}
