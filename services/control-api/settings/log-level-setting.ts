import { create, toBinary } from "@bufbuild/protobuf";
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import type { KV } from "@nats-io/kv";
import { errorText, SluiceError } from "@sluice/lib/errors";
import { facilitiesOf, serviceNames } from "@sluice/lib/facilities";
import type { BucketSnapshot } from "@sluice/lib/kv-snapshot";
import {
	LogLevel_Level,
	type LogLevelRequest,
	type LogLevelResponse,
	LogLevelResponseSchema,
	type LogLevelSetting,
	LogLevelSettingSchema,
	type LogLevels,
	LogLevelsSchema,
} from "@sluice/proto/gen/log";
import { settingKeys } from "@sluice/proto/subjects";
import { NOT_CURRENT } from "../not-current.ts";
import { WriteQueue } from "../write-queue.ts";

const SETTINGS_LIMIT = 256;
const WAITING_CHANGES = 256;
const ATTEMPTS = 20;
/** Two instances that meet again and again must get out of step. */
const BACKOFF_LIMIT_MS = 32;
const CATCH_UP_MS = 5_000;

/** The cluster's log levels: one setting that every service follows. */
export class LogLevelSettings {
	readonly #bucket: KV;
	readonly #snapshot: BucketSnapshot<LogLevels>;
	readonly #queue = new WriteQueue(WAITING_CHANGES);

	constructor(bucket: KV, snapshot: BucketSnapshot<LogLevels>) {
		this.#bucket = bucket;
		this.#snapshot = snapshot;
	}

	/** Changes a level, or with UNSET only tells what holds. */
	async handle(request: LogLevelRequest): Promise<LogLevelResponse> {
		checkRequest(request);
		if (!this.#snapshot.current) {
			throw new SluiceError("unavailable", NOT_CURRENT);
		}
		if (request.level === LogLevel_Level.UNSET) await this.#snapshot.catchUp(CATCH_UP_MS);
		else await this.#queue.run(() => this.#change(request));
		const entry = this.#snapshot.entries.get(settingKeys.logLevels);
		return create(LogLevelResponseSchema, { settings: entry?.value.settings ?? [] });
	}

	async #change(request: LogLevelRequest): Promise<void> {
		for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
			const entry = this.#snapshot.entries.get(settingKeys.logLevels);
			const settings = withSetting(entry?.value.settings ?? [], request);
			if (settings.length > SETTINGS_LIMIT) {
				throw new SluiceError(
					"invalid",
					`${SETTINGS_LIMIT} settings stand: set a level for all to clear them`,
				);
			}
			if (await this.#write(settings, entry?.revision)) return;
			await this.#snapshot.catchUp(CATCH_UP_MS);
			await Bun.sleep(Math.random() * Math.min(2 ** attempt, BACKOFF_LIMIT_MS));
		}
		throw new SluiceError("unavailable", "others change log levels at the same time: try again");
	}

	/** False when somebody else wrote since. */
	async #write(settings: LogLevelSetting[], revision: bigint | undefined): Promise<boolean> {
		const payload = toBinary(LogLevelsSchema, create(LogLevelsSchema, { settings }));
		try {
			const written =
				revision === undefined
					? await this.#bucket.create(settingKeys.logLevels, payload)
					: await this.#bucket.update(settingKeys.logLevels, payload, Number(revision));
			await this.#snapshot.reached(BigInt(written), CATCH_UP_MS);
			return true;
		} catch (thrown) {
			if (thrown instanceof SluiceError) throw thrown;
			if (thrown instanceof JetStreamApiError && thrown.code === JetStreamApiCodes.StreamWrongLastSequence)
				return false;
			const why = `the storage refuses writes (${errorText(thrown)})`;
			const remedy = "look at disk space and the log of nats-server, then try again";
			throw new SluiceError("unavailable", `${why}: ${remedy}`, { cause: thrown });
		}
	}
}

/** The settings after one more: a broader one replaces those it covers, which is the way to clear them. Pure. */
export function withSetting(
	settings: readonly LogLevelSetting[],
	added: Pick<LogLevelSetting, "service" | "facility" | "level">,
): LogLevelSetting[] {
	const covers = (setting: LogLevelSetting) =>
		(added.service === "" || added.service === setting.service) &&
		(added.facility === "" || added.facility === setting.facility);
	const { service, facility, level } = added;
	return [
		...settings.filter((setting) => !covers(setting)),
		create(LogLevelSettingSchema, { service, facility, level }),
	];
}

function checkRequest(request: LogLevelRequest): void {
	const { service, facility } = request;
	const known = facilitiesOf(service);
	if (known === undefined) {
		throw new SluiceError(
			"invalid",
			`service: there is no ${quote(service)}: choose one of ${serviceNames.join(", ")}`,
		);
	}
	if (facility !== "" && !known.includes(facility)) {
		const where = service === "" ? "any service" : service;
		throw new SluiceError(
			"invalid",
			`facility: there is no ${quote(facility)} in ${where}: choose one of ${known.join(", ")}`,
		);
	}
	if (LogLevel_Level[request.level] === undefined) {
		throw new SluiceError(
			"invalid",
			`level: there is no ${request.level}: choose one of TRACE, DEBUG, INFO, WARN, ERROR`,
		);
	}
}

/** What somebody sent, short enough for one line. */
function quote(name: string): string {
	return JSON.stringify(name.slice(0, 64));
}
