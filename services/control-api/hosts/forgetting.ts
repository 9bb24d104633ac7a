import { create } from "@bufbuild/protobuf";
import {
	JetStreamApiCodes,
	JetStreamApiError,
	type JetStreamClient,
	type JetStreamManager,
} from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { errorText, SluiceError } from "@sluice/lib/errors";
import { ALL_HOSTS } from "@sluice/lib/placement";
import {
	type ForgetHostRequest,
	type ForgetHostResponse,
	ForgetHostResponseSchema,
} from "@sluice/proto/gen/host";
import { KeepLastRequestSchema, KeepLastResponseSchema } from "@sluice/proto/gen/stats";
import { buckets, keepLastSubject, kvSubject } from "@sluice/proto/subjects";
import { checkName } from "../rules/validate.ts";
import type { HostView } from "./host-view.ts";

/** Less than whoever asks waits for us. */
const KEEP_LIMIT_MS = 3_500;

/** Removes the record of a host that is gone; the only thing besides its supervisor that writes there. */
export class Forgetting {
	readonly #nc: NatsConnection;
	readonly #js: Pick<JetStreamClient, "publish">;
	readonly #jsm: Pick<JetStreamManager, "streams">;
	readonly #hosts: HostView;

	constructor(
		nc: NatsConnection,
		js: Pick<JetStreamClient, "publish">,
		jsm: Pick<JetStreamManager, "streams">,
		hosts: HostView,
	) {
		this.#nc = nc;
		this.#js = js;
		this.#jsm = jsm;
		this.#hosts = hosts;
	}

	/**
	 * A host that no record is of may still be remembered by others: of a bucket that was lost with its server.
	 * @throws SluiceError `conflict` when the host is there, or writes meanwhile.
	 */
	async handle({ host }: ForgetHostRequest): Promise<ForgetHostResponse> {
		checkName("host", host);
		if (host === ALL_HOSTS) throw new SluiceError("invalid", "host: all are meant by it: name one");
		const known = this.#hosts.gone(host);
		const subject = kvSubject(buckets.hosts, host);
		// While its record vouches for what it said.
		const figuresKept = await this.#keepFigures(host);
		try {
			const stored = await this.#jsm.streams.getMessage(`KV_${buckets.hosts}`, { last_by_subj: subject });
			if (known !== undefined && BigInt(stored?.seq ?? 0) !== known.revision) throw isThere(host);
			const marker = headers();
			marker.set("KV-Operation", "DEL");
			await this.#js.publish(subject, "", {
				headers: marker,
				expect: { lastSubjectSequence: stored?.seq ?? 0 },
			});
		} catch (thrown) {
			if (thrown instanceof SluiceError) throw thrown;
			if (isConflict(thrown)) throw isThere(host);
			throw new SluiceError("unavailable", `host ${host} is not forgotten: ${errorText(thrown)}: try again`, {
				cause: thrown,
			});
		}
		return create(ForgetHostResponseSchema, { host, known: known !== undefined, figuresKept });
	}

	/** Whoever forgets a host may have to, also while no aggregator runs. */
	async #keepFigures(host: string): Promise<boolean> {
		const [request, response] = [KeepLastRequestSchema, KeepLastResponseSchema];
		return await call(this.#nc, keepLastSubject(host), request, response, {}, KEEP_LIMIT_MS).then(
			() => true,
			() => false,
		);
	}
}

function isThere(host: string): SluiceError {
	return new SluiceError("conflict", `host ${host} has just spoken: stop sluice up there first`);
}

function isConflict(thrown: unknown): boolean {
	return thrown instanceof JetStreamApiError && thrown.code === JetStreamApiCodes.StreamWrongLastSequence;
}
