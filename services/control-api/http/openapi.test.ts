import { expect, test } from "bun:test";
import { openApiDocument } from "./openapi.ts";
import { type OperationParts, operations } from "./operations.ts";

interface Document {
	readonly openapi: string;
	readonly info: { readonly title: string; readonly version: string };
	readonly paths: Record<string, Record<string, Described>>;
	readonly components: { readonly schemas: Record<string, Record<string, unknown>> };
}

interface Described {
	readonly operationId: string;
	readonly parameters: {
		readonly name: string;
		readonly in: string;
		readonly required: boolean;
		readonly schema: object;
	}[];
	readonly requestBody?: object;
	readonly responses: Record<string, { readonly description: string; readonly content?: object }>;
	readonly security: object[];
}

// Only described here, never called.
const offered = operations({} as OperationParts);
const document = JSON.parse(JSON.stringify(openApiDocument(offered))) as Document;
const described = Object.entries(document.paths).flatMap(([path, methods]) =>
	Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

function references(value: unknown): string[] {
	if (typeof value !== "object" || value === null) return [];
	return Object.entries(value).flatMap(([key, inner]) =>
		key === "$ref" && typeof inner === "string" ? [inner] : references(inner),
	);
}

test("the document is OpenAPI 3.1 and describes every operation", () => {
	expect(document.openapi).toBe("3.1.0");
	expect(document.info.version).toMatch(/^[0-9]+\.[0-9]+\.[0-9]+$/);
	expect(described.map(({ path, method }) => `${method} ${path}`).sort()).toEqual(
		offered.map((operation) => `${operation.method.toLowerCase()} ${operation.path}`).sort(),
	);
});

test("every reference leads somewhere and none is foreign", () => {
	const all = references(document);
	expect(all.length).toBeGreaterThan(10);
	for (const reference of all) {
		expect(reference).toStartWith("#/components/schemas/");
		expect(Object.keys(document.components.schemas)).toContain(
			reference.slice("#/components/schemas/".length),
		);
	}
	expect(JSON.stringify(document)).not.toContain("$defs");
});

test("path parameters are declared, ids are unique, every answer is described, writing asks for the token", () => {
	expect(new Set(described.map(({ operation }) => operation.operationId)).size).toBe(described.length);
	for (const { path, method, operation } of described) {
		const wanted = [...path.matchAll(/\{([a-z]+)\}/g)].map(([, name]) => name ?? "");
		const declared = operation.parameters.filter(
			(parameter) => parameter.in === "path" && parameter.required,
		);
		expect(declared.map((parameter) => parameter.name)).toEqual(wanted);
		for (const answer of Object.values(operation.responses)) expect(answer.description).not.toBe("");
		expect(Object.keys(operation.responses)).toEqual(["200", "default"]);
		if (method !== "get") expect(operation.security).toEqual([{ token: [] }]);
	}
});

test("the limits of a rule stand in its schema, and unknown fields are refused", () => {
	const output = document.components.schemas["Output"];
	expect(output).toMatchObject({
		type: "object",
		additionalProperties: false,
		required: ["interface", "address", "port"],
		properties: { ttl: { type: "integer", minimum: 1, maximum: 255 } },
	});
	expect(document.components.schemas["Rule"]).toMatchObject({
		properties: { input: { $ref: "#/components/schemas/Input" }, outputs: { minItems: 1, maxItems: 256 } },
	});
});
