import { SluiceError } from "@sluice/lib/errors";
import type { ApplyRequest, Rule } from "@sluice/proto/gen/rule";
import { limits } from "./limits.ts";

interface Upload {
	readonly rules: Rule[];
	readonly parts: number;
	readonly prune: boolean;
	readonly dryRun: boolean;
	next: number;
	/** Ends the upload when its client falls silent. */
	timer: ReturnType<typeof setTimeout>;
}

export interface UploadLimits {
	readonly open: number;
	readonly idleMs: number;
	readonly parts: number;
}

const uploadLimits: UploadLimits = { open: 16, idleMs: 30_000, parts: 64 };

/** The whole of an apply, once its last part is there. */
export type WholeApply = Pick<ApplyRequest, "rules" | "prune" | "dryRun">;

/** Collects applies that come in several messages. */
export class Uploads {
	readonly #limits: UploadLimits;
	readonly #open = new Map<string, Upload>();

	constructor(bounds: UploadLimits = uploadLimits) {
		this.#limits = bounds;
	}

	/** Takes one part; gives the whole with the last one, undefined before. */
	take(request: ApplyRequest): WholeApply | undefined {
		const upload = request.part === 0 ? this.#begin(request) : this.#find(request);
		try {
			this.#append(upload, request);
		} catch (refused) {
			this.#end(request.uploadId);
			throw refused;
		}
		if (upload.next < upload.parts) return undefined;
		this.#end(request.uploadId);
		return upload;
	}

	/** Forgets everything that is open. */
	close(): void {
		for (const id of [...this.#open.keys()]) this.#end(id);
	}

	#begin(request: ApplyRequest): Upload {
		const id = request.uploadId;
		if (id === "" || id.length > 64) throw new SluiceError("invalid", "uploadId: give 1 to 64 characters");
		if (request.parts > this.#limits.parts) {
			throw new SluiceError("invalid", `parts: ${request.parts} are too many: at most ${this.#limits.parts}`);
		}
		if (this.#open.has(id))
			throw new SluiceError("conflict", `uploadId: ${id} is being uploaded: choose another`);
		if (this.#open.size >= this.#limits.open) {
			throw new SluiceError("unavailable", `${this.#limits.open} uploads are under way: try again`);
		}
		const { parts, prune, dryRun } = request;
		const upload: Upload = { rules: [], parts, prune, dryRun, next: 0, timer: this.#idleTimer(id) };
		this.#open.set(id, upload);
		return upload;
	}

	#find(request: ApplyRequest): Upload {
		const upload = this.#open.get(request.uploadId);
		if (upload === undefined) {
			throw new SluiceError(
				"not_found",
				`uploadId: ${request.uploadId} is not under way: send all parts anew`,
			);
		}
		return upload;
	}

	#append(upload: Upload, request: ApplyRequest): void {
		if (request.part !== upload.next) {
			throw new SluiceError(
				"invalid",
				`part: ${request.part} came where ${upload.next} was due: send all parts anew`,
			);
		}
		if (
			request.parts !== upload.parts ||
			request.prune !== upload.prune ||
			request.dryRun !== upload.dryRun
		) {
			throw new SluiceError(
				"invalid",
				`part ${request.part}: parts, prune and dryRun differ from the first part`,
			);
		}
		if (upload.rules.length + request.rules.length > limits.rules) {
			throw new SluiceError("invalid", `rules: more than ${limits.rules}: a cluster has at most so many`);
		}
		for (const rule of request.rules) upload.rules.push(rule);
		upload.next += 1;
		clearTimeout(upload.timer);
		upload.timer = this.#idleTimer(request.uploadId);
	}

	#idleTimer(id: string): ReturnType<typeof setTimeout> {
		return setTimeout(() => this.#open.delete(id), this.#limits.idleMs);
	}

	#end(id: string): void {
		clearTimeout(this.#open.get(id)?.timer);
		this.#open.delete(id);
	}
}
