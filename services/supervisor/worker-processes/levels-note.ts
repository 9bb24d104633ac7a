import { create, toJsonString } from "@bufbuild/protobuf";
import { NOTE_BYTES, noteMessage } from "@sluice/dataplane/messages";
import { type LogLevels, LogLevelsSchema } from "@sluice/proto/gen/log";
import type { ConnectedWorker } from "../apply/workers.ts";
import type { Logger } from "../logger.ts";

/** Tells a worker the cluster's log levels: it has no right to read them itself. */
export function sendLevels(
	{ slot, channel }: ConnectedWorker,
	levels: Pick<LogLevels, "settings">,
	log: Logger,
): void {
	const note = new TextEncoder().encode(toJsonString(LogLevelsSchema, create(LogLevelsSchema, levels)));
	if (note.length > NOTE_BYTES) {
		log.warn({ worker: slot, bytes: note.length }, "too many log level settings for a worker");
		return;
	}
	// A worker that dies before it answers is told again when it is back.
	channel.command((sequence) => noteMessage(sequence, note)).catch(() => {});
}
