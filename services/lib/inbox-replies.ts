import type { NatsConnection, Subscription, SubscriptionOptions } from "@nats-io/transport-node";

const INBOX = "_INBOX.";

/** Whether an answer may go there; no reply subject at all means that nobody wants one. */
export function isAnswerable(reply: string | undefined): boolean {
	return reply === undefined || reply === "" || reply.startsWith(INBOX);
}

/**
 * The connection, with subscriptions that hear no message whose answer would go anywhere but to an
 * inbox. A requester names the subject of the answer and the service publishes it with its own
 * permissions: to a key of a bucket or to JetStream's API, if that is what was named.
 */
export function answeringInboxesOnly(nc: NatsConnection): NatsConnection {
	const subscribe = (subject: string, options: SubscriptionOptions = {}): Subscription => {
		const { callback } = options;
		if (callback === undefined) return nc.subscribe(subject, options);
		return nc.subscribe(subject, {
			...options,
			callback: (problem, message) => {
				if (problem !== null || isAnswerable(message.reply)) callback(problem, message);
			},
		});
	};
	return new Proxy(nc, {
		get(target, key) {
			if (key === "subscribe") return subscribe;
			const value: unknown = Reflect.get(target, key);
			return typeof value === "function" ? value.bind(target) : value;
		},
	});
}
