import { create } from "@bufbuild/protobuf";
import { endpoint, type ServiceEndpoint } from "@sluice/lib/service";
import { RecoverRequestSchema, RecoverResponseSchema } from "@sluice/proto/gen/cluster";
import {
	ForgetHostRequestSchema,
	ForgetHostResponseSchema,
	ListHostsRequestSchema,
	ListHostsResponseSchema,
} from "@sluice/proto/gen/host";
import { LogLevelRequestSchema, LogLevelResponseSchema } from "@sluice/proto/gen/log";
import {
	type ApplyRequest,
	ApplyRequestSchema,
	type ApplyResponse,
	ApplyResponseSchema,
	GetRuleRequestSchema,
	GetRuleResponseSchema,
	ListRulesRequestSchema,
	ListRulesResponseSchema,
	PutRuleRequestSchema,
	PutRuleResponseSchema,
	RemoveRuleRequestSchema,
	RemoveRuleResponseSchema,
} from "@sluice/proto/gen/rule";
import {
	ListWorkersRequestSchema,
	ListWorkersResponseSchema,
	RestartWorkerRequestSchema,
	RestartWorkerResponseSchema,
} from "@sluice/proto/gen/worker";
import { applyUploadSubject, requests } from "@sluice/proto/subjects";
import type { Forgetting } from "../hosts/forgetting.ts";
import type { HostView } from "../hosts/host-view.ts";
import type { Recovery } from "../hosts/recovery.ts";
import type { WorkerRestart } from "../hosts/worker-restart.ts";
import type { Rules } from "../rules/rules.ts";
import type { Uploads } from "../rules/uploads.ts";
import type { LogLevelSettings } from "../settings/log-level-setting.ts";

export interface ControlApi {
	readonly rules: Rules;
	readonly uploads: Uploads;
	readonly hosts: HostView;
	readonly forgetting: Forgetting;
	readonly logLevels: LogLevelSettings;
	readonly recovery: Recovery;
	readonly workerRestart: WorkerRestart;
	/** Token of this instance in the subject of its uploads. */
	readonly instance: string;
}

/** One rule of as many outputs, sources and hosts as it can have takes a quarter of this in JSON. */
const ruleBytes = 256 * 1024;

export function endpoints(api: ControlApi): ServiceEndpoint[] {
	return [...ruleEndpoints(api), ...applyEndpoints(api), ...clusterEndpoints(api)];
}

function ruleEndpoints({ rules }: ControlApi): ServiceEndpoint[] {
	return [
		endpoint({
			name: "rule-put",
			subject: requests.rulePut,
			requestLimitBytes: ruleBytes,
			request: PutRuleRequestSchema,
			response: PutRuleResponseSchema,
			handle: (request) => rules.put(request),
		}),
		endpoint({
			name: "rule-get",
			subject: requests.ruleGet,
			request: GetRuleRequestSchema,
			response: GetRuleResponseSchema,
			handle: async (request) => create(GetRuleResponseSchema, { rule: await rules.get(request.name) }),
		}),
		endpoint({
			name: "rule-list",
			subject: requests.ruleList,
			request: ListRulesRequestSchema,
			response: ListRulesResponseSchema,
			handle: (request) => rules.list(request),
		}),
		endpoint({
			name: "rule-remove",
			subject: requests.ruleRemove,
			request: RemoveRuleRequestSchema,
			response: RemoveRuleResponseSchema,
			handle: (request) => rules.remove(request),
		}),
	];
}

/** The first part of an apply goes to any instance, the others to the one that took it. */
function applyEndpoints({ rules, uploads, instance }: ControlApi): ServiceEndpoint[] {
	const uploadSubject = applyUploadSubject(instance);
	const handle = async (request: ApplyRequest, _: string, bytes: number): Promise<ApplyResponse> => {
		const whole = uploads.take(request, bytes);
		return whole === undefined ? create(ApplyResponseSchema, { uploadSubject }) : await rules.apply(whole);
	};
	// Many rules: what the server takes in one message.
	const limit = { requestLimitBytes: Number.POSITIVE_INFINITY };
	const shared = { request: ApplyRequestSchema, response: ApplyResponseSchema, handle, ...limit };
	return [
		endpoint({ name: "rule-apply", subject: requests.ruleApply, ...shared }),
		endpoint({ name: "rule-apply-part", subject: uploadSubject, ...shared }),
	];
}

function clusterEndpoints(api: ControlApi): ServiceEndpoint[] {
	const { hosts, forgetting, workerRestart, logLevels, recovery } = api;
	return [
		endpoint({
			name: "host-list",
			subject: requests.hostList,
			request: ListHostsRequestSchema,
			response: ListHostsResponseSchema,
			handle: () => hosts.listHosts(),
		}),
		endpoint({
			name: "host-forget",
			subject: requests.hostForget,
			request: ForgetHostRequestSchema,
			response: ForgetHostResponseSchema,
			handle: (request) => forgetting.handle(request),
		}),
		endpoint({
			name: "worker-list",
			subject: requests.workerList,
			request: ListWorkersRequestSchema,
			response: ListWorkersResponseSchema,
			handle: () => hosts.listWorkers(),
		}),
		endpoint({
			name: "worker-restart",
			subject: requests.workerRestart,
			request: RestartWorkerRequestSchema,
			response: RestartWorkerResponseSchema,
			handle: (request) => workerRestart.handle(request),
		}),
		endpoint({
			name: "log-level",
			subject: requests.logLevel,
			request: LogLevelRequestSchema,
			response: LogLevelResponseSchema,
			handle: (request) => logLevels.handle(request),
		}),
		endpoint({
			name: "cluster-recover",
			subject: requests.clusterRecover,
			request: RecoverRequestSchema,
			response: RecoverResponseSchema,
			handle: (request) => recovery.handle(request),
		}),
	];
}
