import {
	create,
	type DescMessage,
	fromBinary,
	type MessageInitShape,
	type MessageShape,
	toBinary,
} from "@bufbuild/protobuf";
import {
	type ConnectionOptions,
	createInbox,
	errors,
	type Msg,
	type NatsConnection,
} from "@nats-io/transport-node";
import { errorCode, SluiceError } from "./errors.ts";
import { SERVICE_ERROR_CODE_HEADER, SERVICE_ERROR_HEADER, SERVICE_REVISION_HEADER } from "./headers.ts";

/** The status of the server's own answer when nobody has subscribed. */
const NO_RESPONDERS = 503;

/**
 * One request and its answer, in protobuf. Throws SluiceError: what the service
 * said, `unavailable` when nobody listens, `timeout` when nobody answered.
 */
export async function call<Request extends DescMessage, Response extends DescMessage>(
	nc: NatsConnection,
	subject: string,
	request: Request,
	response: Response,
	message: MessageInitShape<Request>,
	timeoutMs: number,
): Promise<MessageShape<Response>> {
	const payload = toBinary(request, create(request, message));
	const limit = nc.info?.max_payload;
	if (limit !== undefined && payload.length > limit) {
		throw new SluiceError(
			"too_large",
			`${subject}: the request has ${payload.length} bytes, the server takes ${limit}`,
		);
	}
	let answer: Msg;
	try {
		answer = await answerTo(nc, subject, payload, timeoutMs);
	} catch (thrown) {
		throw requestError(subject, timeoutMs, thrown);
	}
	try {
		if (answer.data.length === 0 && answer.headers?.code === NO_RESPONDERS)
			throw new SluiceError("unavailable", `nobody answers ${subject}: the service is not running`, {
				cause: new errors.NoRespondersError(subject),
			});
		const refused = serviceError(answer);
		if (refused === undefined) return fromBinary(response, answer.data);
		throw refused;
	} catch (thrown) {
		if (thrown instanceof SluiceError) throw thrown;
		throw new SluiceError(
			"internal",
			`${subject}: the answer is malformed: services of one version belong together`,
			{
				cause: thrown,
			},
		);
	}
}

/**
 * As the client's own request(), which reads the headers of an empty answer where a malformed one ends
 * its reader: a host that answers so would make the whole connection deaf until its pings fail.
 */
async function answerTo(
	nc: NatsConnection,
	subject: string,
	payload: Uint8Array,
	timeout: number,
): Promise<Msg> {
	const { promise, resolve, reject } = Promise.withResolvers<Msg>();
	const { options } = nc as NatsConnection & { readonly options?: ConnectionOptions };
	const reply = createInbox(options?.inboxPrefix);
	const answers = nc.subscribe(reply, {
		timeout,
		callback: (problem, answer) => (problem === null ? resolve(answer) : reject(problem)),
	});
	// So the client finds whom to tell that this may not be published.
	Object.assign(answers, { requestSubject: subject });
	void answers.closed.then(() => reject(new errors.ClosedConnectionError()));
	try {
		nc.publish(subject, payload, { reply });
		return await promise;
	} finally {
		answers.unsubscribe();
	}
}

/** The error that an answer carries in its headers, if it does. */
export function serviceError(answer: Msg): SluiceError | undefined {
	const status = answer.headers?.get(SERVICE_ERROR_CODE_HEADER) ?? "";
	if (status === "") return undefined;
	const text = answer.headers?.get(SERVICE_ERROR_HEADER) ?? "";
	const revision = answer.headers?.get(SERVICE_REVISION_HEADER) ?? "";
	return new SluiceError(
		errorCode(Number(status)),
		text === "" ? `refused with ${status}` : text,
		/^[0-9]+$/.test(revision) ? { revision: BigInt(revision) } : {},
	);
}

function requestError(subject: string, timeoutMs: number, thrown: unknown): SluiceError {
	const cause = thrown instanceof errors.RequestError ? (thrown.cause ?? thrown) : thrown;
	if (cause instanceof errors.TimeoutError) {
		return new SluiceError("timeout", `no answer to ${subject} in ${timeoutMs} ms`, { cause });
	}
	if (cause instanceof errors.PermissionViolationError) {
		return new SluiceError("forbidden", `these credentials may not send to ${subject}`, { cause });
	}
	return new SluiceError("unavailable", `${subject}: the connection to NATS failed`, { cause });
}
