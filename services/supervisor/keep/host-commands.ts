import { create, toBinary } from "@bufbuild/protobuf";
import { headers, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { httpStatus, toSluiceError } from "@sluice/lib/errors";
import { SERVICE_ERROR_CODE_HEADER, SERVICE_ERROR_HEADER } from "@sluice/lib/headers";
import { answeringInboxesOnly } from "@sluice/lib/inbox-replies";
import { endpoint, type ServiceEndpoint } from "@sluice/lib/service";
import {
	AcceptRequestSchema,
	AcceptResponseSchema,
	HeldRulesRequestSchema,
	type HeldRulesResponse,
	HeldRulesResponseSchema,
} from "@sluice/proto/gen/cluster";
import { type StoredRule, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { RestartWorkerRequestSchema, RestartWorkerResponseSchema } from "@sluice/proto/gen/worker";
import { hostAcceptSubject, hostHeldSubject, hostRestartSubject } from "@sluice/proto/subjects";
import { workerOf } from "../record/host-record.ts";
import type { Supervisor } from "../supervisor.ts";
import type { DesiredState } from "./desired-state.ts";

/** Below the smallest max_payload that is accepted, with room for one large rule. */
const PAGE_BYTES = 1_000_000;

/**
 * Answers what control-api asks of this one host: which rules it holds, to hold them no longer, to replace a worker.
 * As with `serve`, requests whose reply subject is no inbox are not heard (ADR 0073).
 */
export function serveHostCommands(
	nc: NatsConnection,
	host: string,
	state: Pick<DesiredState, "held" | "accept">,
	supervisor: Pick<Supervisor, "replaceWorker">,
): void {
	const commands = [
		endpoint({
			name: "held",
			subject: hostHeldSubject(host),
			request: HeldRulesRequestSchema,
			response: HeldRulesResponseSchema,
			handle: ({ pageToken }) => heldPage(state.held(), pageToken),
		}),
		endpoint({
			name: "accept",
			subject: hostAcceptSubject(host),
			request: AcceptRequestSchema,
			response: AcceptResponseSchema,
			handle: ({ created }) => {
				state.accept(created);
				return create(AcceptResponseSchema);
			},
		}),
		endpoint({
			name: "restart",
			subject: hostRestartSubject(host),
			request: RestartWorkerRequestSchema,
			response: RestartWorkerResponseSchema,
			handle: async ({ worker: slot }) => {
				const { worker, formerPid, tookMs } = await supervisor.replaceWorker(slot);
				return create(RestartWorkerResponseSchema, { worker: workerOf(host, worker), formerPid, tookMs });
			},
		}),
	];
	const door = answeringInboxesOnly(nc);
	for (const command of commands) {
		door.subscribe(command.subject, {
			callback: (problem, message) => {
				if (problem === null) void answer(command, message);
			},
		});
	}
}

async function answer(command: ServiceEndpoint, message: Msg): Promise<void> {
	try {
		message.respond(await command.answer(message.data, false));
	} catch (thrown) {
		const error = toSluiceError(thrown);
		const sent = headers();
		sent.set(SERVICE_ERROR_CODE_HEADER, String(httpStatus(error.code)));
		sent.set(SERVICE_ERROR_HEADER, error.message);
		message.respond(new Uint8Array(), { headers: sent });
	}
}

/** Rules from the first whose name comes after the token, as many as one message takes. */
export function heldPage(held: readonly StoredRule[], after: string): HeldRulesResponse {
	const rules: StoredRule[] = [];
	let bytes = 0;
	for (const stored of held) {
		const name = stored.rule?.name ?? "";
		if (name <= after) continue;
		if (bytes >= PAGE_BYTES) {
			return create(HeldRulesResponseSchema, { rules, nextPageToken: rules.at(-1)?.rule?.name ?? "" });
		}
		bytes += toBinary(StoredRuleSchema, stored).length;
		rules.push(stored);
	}
	return create(HeldRulesResponseSchema, { rules });
}
