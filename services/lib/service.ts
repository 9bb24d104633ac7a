import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type Endpoint, type ServiceMsg, Svcm } from "@nats-io/services";
import { headers, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { errorText, httpStatus, SluiceError, toSluiceError } from "./errors.ts";
import {
	CONTENT_TYPE_HEADER,
	JSON_CONTENT_TYPE,
	SERVICE_ERROR_CODE_HEADER,
	SERVICE_ERROR_HEADER,
	SERVICE_REVISION_HEADER,
} from "./headers.ts";
import { answeringInboxesOnly } from "./inbox-replies.ts";
import { fromJsonText, toJsonText } from "./json.ts";
import { checkBinaryWeight, checkJsonWeight } from "./request-weight.ts";

export interface ServiceEndpoint {
	readonly name: string;
	/** With wildcards where it speaks of one of many. */
	readonly subject: string;
	/** Empty string: every instance answers. Default: the service's queue group. */
	readonly queue?: string;
	/** Instead of the service's. */
	readonly requestLimitBytes?: number;
	/** Names of its messages, which docs/api.md explains. */
	readonly messages: { readonly request: string; readonly response: string };
	/** Decodes, handles and encodes one request that came on that subject; throws SluiceError for a refusal. */
	answer(payload: Uint8Array, json: boolean, subject: string): Promise<Uint8Array>;
}

export interface EndpointOptions<Request extends DescMessage, Response extends DescMessage> {
	readonly name: string;
	readonly subject: string;
	readonly queue?: string;
	readonly requestLimitBytes?: number;
	readonly request: Request;
	readonly response: Response;
	/** @param bytes of the request as it came. */
	handle(
		request: MessageShape<Request>,
		subject: string,
		bytes: number,
	): Promise<MessageShape<Response>> | MessageShape<Response>;
}

/** Ties one subject to its two message types; the types are lost in `ServiceEndpoint` on purpose. */
export function endpoint<Request extends DescMessage, Response extends DescMessage>(
	options: EndpointOptions<Request, Response>,
): ServiceEndpoint {
	const { name, subject, queue, requestLimitBytes, request, response } = options;
	return {
		name,
		subject,
		...(queue === undefined ? {} : { queue }),
		...(requestLimitBytes === undefined ? {} : { requestLimitBytes }),
		messages: { request: request.typeName, response: response.typeName },
		async answer(payload, json, on) {
			if (json) checkJsonWeight(payload);
			else checkBinaryWeight(request, payload);
			const message = json ? fromJsonText(request, text(payload)) : decode(request, payload);
			const result = await options.handle(message, on, payload.length);
			return json ? new TextEncoder().encode(toJsonText(response, result)) : toBinary(response, result);
		},
	};
}

export interface ServiceOptions {
	/** `sluice-control-api`, as `$SRV.PING` shows it. */
	readonly name: string;
	/** Semantic version. */
	readonly version: string;
	readonly description?: string;
	readonly endpoints: readonly ServiceEndpoint[];
	/** Requests handled at one time, three quarters of them from one client; more are refused as `unavailable`. Default 64. */
	readonly concurrencyLimit?: number;
	/** Longer requests are refused as `too_large`. Default: what the server takes. */
	readonly requestLimitBytes?: number;
	/** Called once for every request, after the answer. */
	onRequest?(request: RequestRecord): void;
}

export interface RequestRecord {
	readonly subject: string;
	readonly json: boolean;
	readonly durationMs: number;
	/** Absent: it went well. */
	readonly error?: SluiceError;
}

export interface RunningService {
	readonly id: string;
	/** Resolves when the service ended, with the reason when it was not asked to. */
	readonly ended: Promise<Error | null>;
	/** Takes no further request and waits for those under way. */
	stop(): Promise<void>;
}

const OPENING_BRACE = 0x7b;
/** Of the numbers of unknown fields, in an error. */
const SHOWN_FIELDS = 8;

/**
 * Serves the endpoints in the NATS services framework: discovery under `$SRV`, one queue group.
 * Requests whose reply subject is no inbox are not heard (ADR 0073).
 */
export async function serve(nc: NatsConnection, options: ServiceOptions): Promise<RunningService> {
	const desk = new RequestDesk(nc, options);
	const service = await new Svcm(answeringInboxesOnly(nc)).add({
		name: options.name,
		version: options.version,
		description: options.description ?? "",
		queue: options.name,
		statsHandler: async (served: Endpoint) => desk.figures(served.subject),
	});
	for (const served of options.endpoints) {
		service.addEndpoint(served.name, {
			subject: served.subject,
			...(served.queue === undefined ? {} : { queue: served.queue }),
			metadata: metadataOf(served, options),
			handler: (problem, message) => {
				// A refused subscription ends the service; `ended` says why.
				if (problem === null) desk.take(served, message);
			},
		});
	}
	// Until the server has seen the subscriptions, requests find no responder.
	await nc.flush();
	return {
		id: service.info().id,
		ended: service.stopped,
		async stop() {
			await service.stop();
			await desk.idle();
		},
	};
}

/** What `$SRV.INFO` tells of an endpoint. */
function metadataOf(served: ServiceEndpoint, options: ServiceOptions): Record<string, string> {
	const limit = served.requestLimitBytes ?? options.requestLimitBytes ?? Number.POSITIVE_INFINITY;
	return {
		...served.messages,
		encodings: "protobuf; JSON, if it begins with { or Content-Type is application/json",
		request_limit_bytes: Number.isFinite(limit) ? String(limit) : "max_payload",
	};
}

/** One that is made once: in a flood it is sent a hundred thousand times. */
interface Refusal {
	readonly error: SluiceError;
	readonly sent: MsgHdrs;
}

function busy(text: string): Refusal {
	const error = new SluiceError("unavailable", text);
	return { error, sent: errorHeaders(error) };
}

interface EndpointFigures {
	errors: number;
	last_error: string;
}

/** Takes requests up to a limit, answers each exactly once, and knows when none is under way. */
class RequestDesk {
	readonly #nc: NatsConnection;
	readonly #options: ServiceOptions;
	readonly #concurrencyLimit: number;
	readonly #clientLimit: number;
	/** Under way, by client. */
	readonly #shares = new Map<string, number>();
	readonly #full: Refusal;
	readonly #clientFull: Refusal;
	readonly #figures = new Map<string, EndpointFigures>();
	readonly #underWay = new Set<Promise<void>>();

	constructor(nc: NatsConnection, options: ServiceOptions) {
		this.#nc = nc;
		this.#options = options;
		this.#concurrencyLimit = options.concurrencyLimit ?? 64;
		this.#clientLimit = Math.ceil(0.75 * this.#concurrencyLimit);
		this.#full = busy(`${this.#concurrencyLimit} requests are under way: try again`);
		this.#clientFull = busy(`${this.#clientLimit} of your requests are under way: try again`);
	}

	take(served: ServiceEndpoint, message: ServiceMsg): void {
		const client = clientOf(message);
		const share = this.#shares.get(client) ?? 0;
		if (this.#underWay.size >= this.#concurrencyLimit) {
			this.#turnAway(served, message, this.#full);
			return;
		}
		if (share >= this.#clientLimit) {
			this.#turnAway(served, message, this.#clientFull);
			return;
		}
		this.#shares.set(client, share + 1);
		const work = this.#answer(served, message).finally(() => {
			this.#underWay.delete(work);
			const left = (this.#shares.get(client) ?? 1) - 1;
			if (left > 0) this.#shares.set(client, left);
			else this.#shares.delete(client);
		});
		this.#underWay.add(work);
	}

	/** In a flood everybody waits behind all that is turned away: it must cost next to nothing. */
	#turnAway(served: ServiceEndpoint, message: ServiceMsg, { error, sent }: Refusal): void {
		this.#refuse(served, message, error, sent);
		this.#options.onRequest?.({ subject: served.subject, json: false, durationMs: 0, error });
	}

	async idle(): Promise<void> {
		await Promise.allSettled(this.#underWay);
	}

	figures(subject: string): EndpointFigures {
		const known = this.#figures.get(subject);
		if (known !== undefined) return known;
		const created = { errors: 0, last_error: "" };
		this.#figures.set(subject, created);
		return created;
	}

	async #answer(served: ServiceEndpoint, message: ServiceMsg): Promise<void> {
		const start = performance.now();
		let json = false;
		let error: SluiceError | undefined;
		try {
			json = isJson(message);
			this.#admit(served, message);
			this.#respond(message, await served.answer(message.data, json, message.subject), json);
		} catch (thrown) {
			error = toSluiceError(thrown);
			this.#refuse(served, message, error);
		}
		this.#options.onRequest?.({
			subject: served.subject,
			json,
			durationMs: performance.now() - start,
			...(error === undefined ? {} : { error }),
		});
	}

	#admit(served: ServiceEndpoint, message: ServiceMsg): void {
		const limit = served.requestLimitBytes ?? this.#options.requestLimitBytes;
		if (limit !== undefined && message.data.length > limit) {
			throw new SluiceError("too_large", `the request has ${message.data.length} bytes, ${limit} are taken`);
		}
	}

	#respond(message: ServiceMsg, payload: Uint8Array, json: boolean): void {
		const limit = this.#nc.info?.max_payload ?? Number.POSITIVE_INFINITY;
		if (payload.length > limit) {
			throw new SluiceError(
				"too_large",
				`the answer has ${payload.length} bytes, the server takes ${limit}: ask for less`,
			);
		}
		if (!json) {
			message.respond(payload);
			return;
		}
		const sent = headers();
		sent.set(CONTENT_TYPE_HEADER, JSON_CONTENT_TYPE);
		message.respond(payload, { headers: sent });
	}

	#refuse(
		served: ServiceEndpoint,
		message: ServiceMsg,
		error: SluiceError,
		sent = errorHeaders(error),
	): void {
		const figures = this.figures(served.subject);
		figures.errors += 1;
		figures.last_error = error.message;
		try {
			message.respond(new Uint8Array(), { headers: sent });
		} catch {
			// The connection is closed: the requester's own timeout speaks.
		}
	}
}

/** Clients have an inbox each, and its last token tells their requests apart. */
function clientOf({ reply = "" }: ServiceMsg): string {
	return reply.slice(0, reply.lastIndexOf("."));
}

function errorHeaders(error: SluiceError): MsgHdrs {
	const sent = headers();
	sent.set(SERVICE_ERROR_CODE_HEADER, String(httpStatus(error.code)));
	sent.set(SERVICE_ERROR_HEADER, headerText(error.message));
	if (error.revision !== undefined) sent.set(SERVICE_REVISION_HEADER, String(error.revision));
	return sent;
}

/** @throws SluiceError for headers that are none: the server passes on whatever bytes it was sent. */
function isJson(message: ServiceMsg): boolean {
	if (message.data[0] === OPENING_BRACE) return true;
	let type: string;
	try {
		type = message.headers?.get(CONTENT_TYPE_HEADER) ?? "";
	} catch (thrown) {
		throw new SluiceError("invalid", `the request has malformed headers: ${errorText(thrown)}`, {
			cause: thrown,
		});
	}
	return type.split(";", 1)[0]?.trim().toLowerCase() === JSON_CONTENT_TYPE;
}

function text(payload: Uint8Array): string {
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(payload);
	} catch (thrown) {
		throw new SluiceError("invalid", "the request is not UTF-8 text", { cause: thrown });
	}
}

function decode<Schema extends DescMessage>(schema: Schema, payload: Uint8Array): MessageShape<Schema> {
	if (payload.length === 0) return create(schema) as MessageShape<Schema>;
	let message: MessageShape<Schema>;
	try {
		message = fromBinary(schema, payload);
	} catch (thrown) {
		throw new SluiceError("invalid", `the request is not a ${schema.name}: send protobuf or JSON`, {
			cause: thrown,
		});
	}
	// Bytes of another type often decode into nothing but fields nobody knows.
	if (message.$unknown !== undefined && message.$unknown.length > 0) {
		const fields = [...new Set(message.$unknown.map((field) => field.no))];
		const shown = `${fields.slice(0, SHOWN_FIELDS).join(", ")}${fields.length > SHOWN_FIELDS ? "…" : ""}`;
		throw new SluiceError("invalid", `the request has fields that ${schema.name} does not know: ${shown}`);
	}
	return message;
}

/** Header values are one line; their length is bounded so that an error always fits. */
function headerText(message: string): string {
	return message.length <= 1_000 ? message : `${message.slice(0, 999)}…`;
}
