import type { NatsConnection } from "@nats-io/transport-node";
import { describeIssue } from "@sluice/lib/config";
import { findDuplicateKey } from "@sluice/lib/duplicate-key";
import { errorText, SluiceError, toSluiceError } from "@sluice/lib/errors";
import type { ServiceLogger } from "@sluice/lib/log";
import { checkJsonWeight } from "@sluice/lib/request-weight";
import type { Logger } from "pino";
import type { z } from "zod";
import type { ControlApiConfig } from "../config.ts";
import type { RunningControlApi } from "../control-api.ts";
import { Access } from "./access.ts";
import { EventFeed, type EventLimits } from "./events.ts";
import { openApiDocument } from "./openapi.ts";
import { operations } from "./operations.ts";
import { respondError, respondMethodNotAllowed, respondText } from "./respond.ts";
import { matchPath, type Operation } from "./route.ts";
import { StatsSource } from "./stats-source.ts";

export const BODY_LIMIT_BYTES = 4 * 1024 * 1024;

/** Requests answered at one time; more are refused as `unavailable`. Event streams do not count. */
const CONCURRENCY_LIMIT = 256;

export type HttpConfig = Pick<ControlApiConfig, "httpAddress" | "httpPort" | "httpToken" | "httpHosts">;

export interface HttpServer {
	/** "http://127.0.0.1:7080". */
	readonly url: string;
	/** Ends event streams, takes nothing new, finishes what is under way. */
	stop(): Promise<void>;
}

/** Opens the cluster's one HTTP door. */
export function startHttp(
	nc: NatsConnection,
	api: RunningControlApi,
	config: HttpConfig,
	logger: ServiceLogger,
	eventBounds?: EventLimits,
): HttpServer {
	const events = new EventFeed(api, eventBounds);
	const door = new Door(
		operations({ api, stats: new StatsSource(nc), events }),
		new Access({ address: config.httpAddress, token: config.httpToken, hosts: config.httpHosts }),
		logger.facility("http"),
	);
	const server = listen(config, door);
	const shown = config.httpAddress.includes(":") ? `[${config.httpAddress}]` : config.httpAddress;
	return {
		url: `http://${shown}:${server.port}`,
		async stop() {
			events.stop();
			await server.stop();
		},
	};
}

function listen(config: HttpConfig, door: Door) {
	try {
		return Bun.serve({
			hostname: config.httpAddress,
			port: config.httpPort,
			// One more than we take, so that ours is the refusal whenever the length is known.
			maxRequestBodySize: BODY_LIMIT_BYTES + 1,
			idleTimeout: 30,
			fetch(request, server) {
				// Event streams are silent for longer than a request may be.
				if (URL.parse(request.url)?.pathname === "/v1/events") server.timeout(request, 0);
				return door.answer(request, server.requestIP(request)?.address);
			},
			error: (thrown) => respondError(toSluiceError(thrown)),
		});
	} catch (thrown) {
		const where = `${config.httpAddress}:${config.httpPort}`;
		throw new SluiceError("unavailable", `HTTP cannot listen on ${where}: ${errorText(thrown)}`, {
			cause: thrown,
		});
	}
}

/** Finds the operation, checks who asks what, and turns every failure into an answer. */
class Door {
	readonly #operations: readonly Operation[];
	readonly #access: Access;
	readonly #logger: Logger;
	readonly #document: string;
	#underWay = 0;

	constructor(offered: readonly Operation[], access: Access, logger: Logger) {
		this.#operations = offered;
		this.#access = access;
		this.#logger = logger;
		this.#document = JSON.stringify(openApiDocument(offered));
	}

	async answer(request: Request, peer: string | undefined): Promise<Response> {
		const start = performance.now();
		const url = URL.parse(request.url);
		const path = url?.pathname ?? "";
		let response: Response;
		this.#underWay += 1;
		try {
			this.#access.checkHost(request);
			if (url === null) throw new SluiceError("invalid", "the request target is not a URL: send a path");
			if (this.#underWay > CONCURRENCY_LIMIT) {
				throw new SluiceError("unavailable", `${CONCURRENCY_LIMIT} requests are under way: try again`);
			}
			response = await this.#dispatch(request, url, peer);
		} catch (thrown) {
			const error = toSluiceError(thrown);
			if (error.code === "internal") this.#logger.error({ err: error.cause, path }, "request failed");
			response = respondError(error);
		} finally {
			this.#underWay -= 1;
		}
		this.#logger.debug(
			{
				method: request.method,
				path,
				status: response.status,
				peer,
				durationMs: Math.round((performance.now() - start) * 1_000) / 1_000,
			},
			"request",
		);
		return response;
	}

	async #dispatch(request: Request, url: URL, peer: string | undefined): Promise<Response> {
		const method = request.method === "HEAD" ? "GET" : request.method;
		if (url.pathname === "/openapi.json" && method === "GET") {
			this.#access.checkToken(request, peer, false);
			return respondText(200, "application/json", this.#document);
		}
		const fitting = this.#operations.flatMap((operation) => {
			const parameters = matchPath(operation.path, url.pathname);
			return parameters === undefined ? [] : [{ operation, parameters }];
		});
		const found = fitting.find(({ operation }) => operation.method === method);
		if (found === undefined) {
			if (fitting.length > 0 || url.pathname === "/openapi.json") {
				return respondMethodNotAllowed(
					request.method,
					allowedMethods(fitting.map(({ operation }) => operation)),
				);
			}
			throw new SluiceError("not_found", `${url.pathname} is not here: /openapi.json lists what is`);
		}
		const { operation, parameters } = found;
		if (operation.open !== true) this.#access.checkToken(request, peer, operation.method !== "GET");
		const query = parse(operation.query, Object.fromEntries(url.searchParams));
		const body = operation.body === undefined ? undefined : parse(operation.body, await readJson(request));
		return await operation.handle({ raw: request, parameters, query, body });
	}
}

function allowedMethods(operations: readonly Operation[]): string[] {
	const methods =
		operations.length === 0 ? ["GET"] : operations.map((operation) => operation.method as string);
	return methods.includes("GET") ? [...methods, "HEAD"] : methods;
}

function parse(schema: z.ZodType, value: unknown): unknown {
	const parsed = schema.safeParse(value);
	if (parsed.success) return parsed.data;
	throw new SluiceError("invalid", describeBodyIssue(parsed.error.issues[0]));
}

/** What zod found; its own texts say what is wrong, and not where to read what is right. */
function describeBodyIssue(issue: z.core.$ZodIssue | undefined): string {
	const text = describeIssue(issue).replace(": Invalid input:", ":");
	const ours = issue?.code === "too_small" || issue?.code === "too_big" || / is n(?:ot|either) /.test(text);
	return ours ? text : `${text}: see /openapi.json`;
}

async function readJson(request: Request): Promise<unknown> {
	const tooLarge = new SluiceError(
		"too_large",
		`the body is over ${BODY_LIMIT_BYTES} bytes: apply over NATS takes more`,
	);
	if (Number(request.headers.get("content-length") ?? 0) > BODY_LIMIT_BYTES) throw tooLarge;
	let body: ArrayBuffer;
	try {
		body = await request.arrayBuffer();
	} catch (thrown) {
		throw new SluiceError("invalid", "the body could not be read to its end", { cause: thrown });
	}
	if (body.byteLength > BODY_LIMIT_BYTES) throw tooLarge;
	checkJsonWeight(new Uint8Array(body));
	let text: string;
	let value: unknown;
	try {
		text = new TextDecoder("utf-8", { fatal: true }).decode(body);
		value = JSON.parse(text);
	} catch (thrown) {
		throw new SluiceError("invalid", `the body is not JSON: ${errorText(thrown)}`, { cause: thrown });
	}
	const twice = findDuplicateKey(text, value);
	if (twice === undefined) return value;
	throw new SluiceError("invalid", `the body: ${twice} stands twice in one object: remove one`);
}
