import { expect } from "bun:test";
import type { z } from "zod";
import type { RunningControlApi } from "../control-api.ts";
import * as schemas from "../http/schemas.ts";
import { type HttpServer, startHttp } from "../http/server.ts";
import { quietLogger, TestCluster } from "./cluster.ts";

export const TOKEN = "a-token-of-the-tests";

export interface Call {
	readonly method?: string;
	readonly body?: unknown;
	readonly headers?: Record<string, string>;
	readonly token?: string | undefined;
}

/** A cluster with one control-api and its HTTP edge, which two clients may listen to. */
export class HttpLab {
	private constructor(
		readonly cluster: TestCluster,
		readonly api: RunningControlApi,
		readonly http: HttpServer,
	) {}

	static async start(): Promise<HttpLab> {
		const cluster = await TestCluster.start();
		const api = await cluster.startApi();
		const config = {
			...{ httpAddress: "127.0.0.1", httpPort: 0, httpToken: TOKEN },
			httpHosts: ["relay.example"],
		};
		const limits = { clients: 2, backlog: 100, heartbeatMs: 50 };
		return new HttpLab(
			cluster,
			api,
			startHttp(await cluster.server.connect(), api, config, quietLogger(), limits),
		);
	}

	async stop(): Promise<void> {
		await this.http.stop();
		await this.cluster.stop();
	}

	async removeAllRules(): Promise<void> {
		await this.api.rules.apply({ rules: [], prune: true, dryRun: false });
	}

	request(path: string, { method = "GET", body, headers = {}, token = TOKEN }: Call = {}): Promise<Response> {
		const authorization: Record<string, string> = token === "" ? {} : { authorization: `Bearer ${token}` };
		return fetch(`${this.http.url}${path}`, {
			method,
			headers: { ...authorization, ...headers },
			...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
		});
	}

	/** Status and message of a request written byte for byte. */
	async rawRequest(text: string): Promise<[number, string]> {
		const { hostname, port } = new URL(this.http.url);
		let answer = "";
		const ended = Promise.withResolvers<void>();
		await Bun.connect({
			hostname,
			port: Number(port),
			socket: {
				open: (socket) => void socket.write(text),
				data: (socket, chunk) => {
					answer += chunk.toString();
					// Our answers are JSON in one object.
					if (answer.endsWith("}")) socket.end();
				},
				close: () => ended.resolve(),
			},
		});
		await ended.promise;
		const body = answer.slice(answer.indexOf("\r\n\r\n") + 4);
		return [Number(answer.split(" ", 2)[1]), body.startsWith("{") ? JSON.parse(body).error?.message : body];
	}
}

export async function expectError(response: Response, status: number, reason: RegExp): Promise<void> {
	const body = schemas.errorBody.parse(await response.json());
	expect(body.error.message).toMatch(reason);
	expect([response.status, body.error.status]).toEqual([status, status]);
}

/** The documented shape holds for what is really answered. */
export async function read<Schema extends z.ZodType>(
	response: Response,
	schema: Schema,
): Promise<z.output<Schema>> {
	expect(response.status).toBe(200);
	expect(response.headers.get("content-type")).toBe("application/json");
	return schema.parse(await response.json());
}
