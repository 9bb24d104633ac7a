import { create, toBinary } from "@bufbuild/protobuf";
import {
	ApplyRequestSchema,
	type ApplyResponse,
	ApplyResponseSchema,
	type Rule,
} from "@sluice/proto/gen/rule";
import { requests } from "@sluice/proto/subjects";
import type { Cluster } from "./cluster.ts";
import { CommandFailure, exitCodes } from "./failure.ts";

/** Well below the smallest max_payload in use, NATS' default of 1 MB. */
const PART_LIMIT_BYTES = 500_000;

export interface UploadOptions {
	prune: boolean;
	dryRun: boolean;
}

/** Sends all rules as one apply, in as many parts as they need; answers for the whole. */
export async function uploadRules(
	cluster: Cluster,
	rules: Rule[],
	options: UploadOptions,
): Promise<ApplyResponse> {
	const parts = splitRules(rules, PART_LIMIT_BYTES);
	const uploadId = parts.length > 1 ? crypto.randomUUID() : "";
	let subject: string = requests.ruleApply;
	let response: ApplyResponse | undefined;
	for (const [part, partRules] of parts.entries()) {
		response = await cluster.request(subject, ApplyRequestSchema, ApplyResponseSchema, {
			rules: partRules,
			...options,
			uploadId,
			part,
			parts: parts.length,
		});
		if (part === 0 && parts.length > 1) {
			if (response.uploadSubject === "") {
				throw new CommandFailure(exitCodes.failed, "control-api takes no upload in parts: update it");
			}
			subject = response.uploadSubject;
		}
	}
	return response ?? create(ApplyResponseSchema);
}

/** Rules that are measured together: one by one it takes four times as long. */
const MEASURED_TOGETHER = 100;

/** Consecutive rules of at most `limitBytes` together; at least one part, even of no rules. */
export function splitRules(rules: Rule[], limitBytes: number): Rule[][] {
	let current: Rule[] = [];
	const parts = [current];
	let bytes = 0;
	const take = (some: Rule[]): void => {
		const size = toBinary(ApplyRequestSchema, create(ApplyRequestSchema, { rules: some })).length;
		if (bytes + size > limitBytes && some.length > 1) {
			const half = some.length >> 1;
			take(some.slice(0, half));
			take(some.slice(half));
			return;
		}
		if (bytes + size > limitBytes && current.length > 0) {
			current = [];
			parts.push(current);
			bytes = 0;
		}
		current.push(...some);
		bytes += size;
	};
	for (let k = 0; k < rules.length; k += MEASURED_TOGETHER) take(rules.slice(k, k + MEASURED_TOGETHER));
	return parts;
}
