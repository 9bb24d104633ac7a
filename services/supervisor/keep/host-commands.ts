import { create, toBinary } from "@bufbuild/protobuf";
import type { NatsConnection } from "@nats-io/transport-node";
import { serveCommands } from "@sluice/lib/commands";
import { endpoint } from "@sluice/lib/service";
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

/** Answers what control-api asks of this one host: which rules it holds, to hold them no longer, to replace a worker. */
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
	serveCommands(nc, commands);
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
