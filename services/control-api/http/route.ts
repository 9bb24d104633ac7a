import type { z } from "zod";

export type Method = "GET" | "PUT" | "POST" | "DELETE";

/** What a handler is given: all of it checked. */
export interface HttpRequest<Query, Body> {
	readonly raw: Request;
	/** Values of the path's {parameters}. */
	readonly parameters: Readonly<Record<string, string>>;
	readonly query: Query;
	readonly body: Body;
}

export interface Answer {
	readonly description: string;
	/** "application/json" unless said otherwise. */
	readonly type?: string;
	/** Absent: text. */
	readonly schema?: z.ZodType;
}

/** One method of one path: how to check, how to answer, and how OpenAPI describes it. */
export interface Operation {
	readonly method: Method;
	/** "/v1/rules/{name}". */
	readonly path: string;
	readonly summary: string;
	readonly query: z.ZodObject;
	/** Absent: a body is not read. */
	readonly body?: z.ZodType;
	readonly answer: Answer;
	/** Open to everybody: says nothing but whether the process lives. */
	readonly open?: boolean;
	handle(request: HttpRequest<unknown, unknown>): Promise<Response> | Response;
}

export interface OperationOptions<Query extends z.ZodObject, Body extends z.ZodType>
	extends Omit<Operation, "query" | "body" | "handle"> {
	readonly query: Query;
	readonly body?: Body;
	handle(request: HttpRequest<z.output<Query>, z.output<Body>>): Promise<Response> | Response;
}

/** Ties the handler's types to the schemas; `Operation` has lost them on purpose. */
export function operation<Query extends z.ZodObject, Body extends z.ZodType>(
	options: OperationOptions<Query, Body>,
): Operation {
	return {
		...options,
		// What is handed over has been parsed with these very schemas.
		handle: (request) => options.handle(request as HttpRequest<z.output<Query>, z.output<Body>>),
	};
}

/** Values of the parameters when the path fits the pattern. */
export function matchPath(pattern: string, path: string): Record<string, string> | undefined {
	const wanted = pattern.split("/");
	const given = path.split("/");
	if (wanted.length !== given.length) return undefined;
	const parameters: Record<string, string> = {};
	for (const [k, part] of wanted.entries()) {
		const value = given[k] ?? "";
		if (part.startsWith("{")) parameters[part.slice(1, -1)] = decodeSegment(value);
		else if (part !== value) return undefined;
	}
	return parameters;
}

function decodeSegment(segment: string): string {
	try {
		return decodeURIComponent(segment);
	} catch {
		return segment;
	}
}
