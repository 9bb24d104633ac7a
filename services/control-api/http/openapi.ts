import { z } from "zod";
import { VERSION } from "../version.ts";
import type { Operation } from "./route.ts";
import * as schemas from "./schemas.ts";

/** Component names; everything else is written where it is used. */
const components: Readonly<Record<string, z.ZodType>> = {
	Rule: schemas.rule,
	Input: schemas.input,
	Output: schemas.output,
	RuleStatus: schemas.ruleStatus,
	PutRuleRequest: schemas.namelessRule,
	PutRuleResponse: schemas.putRuleResponse,
	GetRuleResponse: schemas.getRuleResponse,
	ListRulesResponse: schemas.listRulesResponse,
	RemoveRuleResponse: schemas.removeRuleResponse,
	ApplyRequest: schemas.applyRequest,
	ApplyResponse: schemas.applyResponse,
	ListHostsResponse: schemas.listHostsResponse,
	ForgetHostResponse: schemas.forgetHostResponse,
	ListWorkersResponse: schemas.listWorkersResponse,
	RestartWorkerResponse: schemas.restartWorkerResponse,
	GetStatsResponse: schemas.getStatsResponse,
	Error: schemas.errorBody,
};

const COMPONENT_PATH = "#/components/schemas/";

/** The OpenAPI 3.1 document of the operations, from the schemas they are checked with. */
export function openApiDocument(operations: readonly Operation[]): object {
	const paths: Record<string, Record<string, object>> = {};
	for (const operation of operations) {
		const path = paths[operation.path] ?? {};
		paths[operation.path] = path;
		path[operation.method.toLowerCase()] = describe(operation);
	}
	return {
		openapi: "3.1.0",
		info: {
			title: "Sluice",
			version: VERSION,
			description:
				"Rules of a multicast relay cluster. Bodies are proto3 JSON of the messages in proto/sluice/v1.",
		},
		servers: [{ url: "/" }],
		paths,
		components: {
			schemas: componentSchemas(),
			securitySchemes: { token: { type: "http", scheme: "bearer" } },
		},
	};
}

function componentSchemas(): Record<string, unknown> {
	const registry = z.registry<{ id: string }>();
	for (const [id, schema] of Object.entries(components)) registry.add(schema, { id });
	const { schemas: generated } = z.toJSONSchema(registry, {
		uri: (id) => `${COMPONENT_PATH}${id}`,
		io: "input",
	});
	for (const schema of Object.values(generated)) {
		// Inside a document the place says both.
		delete schema.$id;
		delete schema.$schema;
	}
	return generated;
}

function describe(operation: Operation): object {
	const writes = operation.method !== "GET";
	return {
		operationId: operationId(operation),
		summary: operation.summary,
		parameters: [
			...pathParameters(operation.path),
			...queryParameters(operation.query),
			...headerParameters(operation),
		],
		...(operation.body === undefined
			? {}
			: {
					requestBody: {
						required: true,
						content: { "application/json": { schema: reference(operation.body) } },
					},
				}),
		responses: {
			"200": {
				description: operation.answer.description,
				content: { [operation.answer.type ?? "application/json"]: { schema: answerSchema(operation) } },
			},
			default: {
				description: "What was wrong, and what to do",
				content: { "application/json": { schema: reference(schemas.errorBody) } },
			},
		},
		// Reading needs the token from other addresses than the loopback only.
		security: operation.open === true ? [] : writes ? [{ token: [] }] : [{}, { token: [] }],
	};
}

function operationId(operation: Operation): string {
	const words = operation.path.split(/[^a-z]+/).filter((word) => word !== "" && word !== "v");
	const name = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
	return `${operation.method.toLowerCase()}${name}`;
}

function answerSchema(operation: Operation): object {
	return operation.answer.schema === undefined ? { type: "string" } : reference(operation.answer.schema);
}

function reference(schema: z.ZodType): object {
	const name = Object.entries(components).find(([, candidate]) => candidate === schema)?.[0];
	if (name === undefined) throw new Error("a schema of an operation is missing among the components");
	return { $ref: `${COMPONENT_PATH}${name}` };
}

function pathParameters(path: string): object[] {
	return [...path.matchAll(/\{([a-z]+)\}/g)].map(([, name]) => ({
		name,
		in: "path",
		required: true,
		schema: { type: "string" },
	}));
}

function queryParameters(query: z.ZodObject): object[] {
	const { properties = {} } = z.toJSONSchema(query, { io: "input" });
	return Object.entries(properties).map(([name, schema]) => ({ name, in: "query", required: false, schema }));
}

function headerParameters(operation: Operation): object[] {
	// Only rules have revisions.
	if (!["PUT", "DELETE"].includes(operation.method) || !operation.path.startsWith("/v1/rules/")) return [];
	return ["If-Match", "If-None-Match"].map((name) => ({
		name,
		in: "header",
		required: false,
		schema: { type: "string" },
	}));
}
