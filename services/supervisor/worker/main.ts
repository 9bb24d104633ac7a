import { fromJsonString } from "@bufbuild/protobuf";
import { Worker } from "@sluice/dataplane/worker";
import { onBeat } from "@sluice/lib/beat";
import { readStartupConfig } from "@sluice/lib/config";
import { connectNats } from "@sluice/lib/connect";
import { errorText } from "@sluice/lib/errors";
import { createLogger } from "@sluice/lib/log";
import { LogLevelsSchema } from "@sluice/proto/gen/log";
import { workerConfig } from "./config.ts";
import { CountersPublisher } from "./publisher.ts";

const PUBLISH_MS = 1_000;
/** For the last publication. */
const DRAIN_LIMIT_MS = 500;

const config = await readStartupConfig(workerConfig).catch((thrown: unknown) => {
	createLogger({ service: "worker" }).facility("channel").fatal(errorText(thrown));
	process.exit(1);
});
const logger = createLogger({
	service: config.service,
	host: config.hostId,
	level: config.logLevel,
	fields: { worker: config.worker, core: config.core },
});
const supervisor = process.ppid;
const channelLog = logger.facility("channel");
const countersLog = logger.facility("counters");

function fail(reason: unknown): never {
	channelLog.fatal(errorText(reason));
	process.exit(1);
}

/** The packet thread's lines, and the supervisor's notes: the log levels. */
function passOn(thread: Worker): void {
	for (let line = thread.takeLine(); line !== undefined; line = thread.takeLine()) {
		logger.facility(line.facility)[line.level](line.text);
	}
	for (let note = thread.takeNote(); note !== undefined; note = thread.takeNote()) {
		try {
			logger.setLevels(fromJsonString(LogLevelsSchema, new TextDecoder().decode(note)));
		} catch (thrown) {
			channelLog.warn(`a note of the supervisor is unreadable: ${errorText(thrown)}`);
		}
	}
}

/** Before the first frame is parsed. A kernel that cannot do it must not stop the relay (ADR 0072). */
function confine(thread: Worker): void {
	try {
		thread.confine();
	} catch (thrown) {
		channelLog.warn(`runs without a system call filter: ${errorText(thrown)}`);
	}
}

/** Of a dead supervisor the keeper inherits us; of a dead keeper somebody who knows nothing of us. */
function isAlone(): boolean {
	return process.ppid !== supervisor && process.ppid !== config.keeper;
}

function run(): void {
	const thread = Worker.start(config.channel, config.worker, config.core);
	thread.setIdle(config.idle);
	confine(thread);
	const publisher = new CountersPublisher({
		host: config.hostId,
		worker: config.worker,
		incarnation: config.incarnation,
		snapshot: () => thread.snapshot(),
		log: countersLog,
	});
	// Packets flow without NATS, so nobody waits for it.
	connectNats({
		url: config.natsUrl,
		credentials: config.credentials,
		name: "worker",
		beat: config.hostId,
	}).then(
		(nc) => publisher.use(nc),
		(thrown) => countersLog.error(`counters cannot be published: ${errorText(thrown)}`),
	);
	const stopPublishing = onBeat(config.hostId, PUBLISH_MS, () => {
		publisher.publish();
		if (!isAlone()) return;
		channelLog.warn("supervisor and keeper are gone");
		void end(0);
	});
	const watch = async () => {
		for await (const _ of thread.news()) {
			if (ending) return;
			passOn(thread);
			const { state, errno } = thread.state();
			if (state === "halt") void end(0);
			else if (state === "fail") {
				channelLog.error({ errno }, "the packet thread failed");
				void end(1);
			}
		}
	};
	void watch().catch(fail);
	let ending = false;
	const end = async (code: number) => {
		if (ending) return;
		ending = true;
		stopPublishing();
		publisher.publish();
		passOn(thread);
		thread.stop();
		await Promise.race([publisher.stop(), Bun.sleep(DRAIN_LIMIT_MS)]).catch(() => {});
		process.exit(code);
	};
	process.on("SIGTERM", () => void end(0));
	// The terminal's Ctrl-C reaches everybody; the supervisor decides who stops when.
	process.on("SIGINT", () => {});
}

try {
	run();
} catch (thrown) {
	fail(thrown);
}
