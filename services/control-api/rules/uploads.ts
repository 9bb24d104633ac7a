import { SluiceError } from "@sluice/lib/errors";
import type { ApplyRequest, Rule } from "@sluice/proto/gen/rule";
import { canonicalAt } from "./apply-file.ts";
import { limits } from "./limits.ts";

interface Upload {
	readonly rules: Rule[];
	readonly parts: number;
	readonly prune: boolean;
	readonly dryRun: boolean;
	readonly begunMs: number;
	next: number;
	bytes: number;
	/** Ends the upload when its client falls silent, or takes too long. */
	timer: ReturnType<typeof setTimeout>;
}

export interface UploadLimits {
	readonly open: number;
	readonly idleMs: number;
	/** From the first part to the last. */
	readonly ageMs: number;
	readonly parts: number;
	/** Of everything that is open. */
	readonly bytes: number;
}

export const uploadLimits: UploadLimits = {
	open: 16,
	idleMs: 30_000,
	ageMs: 300_000,
	parts: 64,
	bytes: 64 * 1024 * 1024,
};

/** The whole of an apply, once its last part is there. */
export interface WholeApply extends Pick<ApplyRequest, "rules" | "prune" | "dryRun"> {
	/** Its rules are in canonical form. */
	readonly canonical?: boolean;
}

/** Collects applies that come in several messages. */
export class Uploads {
	readonly #limits: UploadLimits;
	readonly #open = new Map<string, Upload>();
	#bytes = 0;

	constructor(bounds: UploadLimits = uploadLimits) {
		this.#limits = bounds;
	}

	/**
	 * Takes one part; gives the whole with the last one, undefined before.
	 * @param bytes of the part as it came.
	 */
	take(request: ApplyRequest, bytes: number): WholeApply | undefined {
		if (request.parts <= 1) {
			if (request.part === 0) return request;
			throw new SluiceError("invalid", `part: ${request.part} of ${request.parts}: number parts from 0`);
		}
		const upload = request.part === 0 ? this.#begin(request) : this.#find(request);
		try {
			this.#append(upload, request, bytes);
		} catch (refused) {
			this.#end(request.uploadId);
			throw refused;
		}
		if (upload.next < upload.parts) return undefined;
		this.#end(request.uploadId);
		return { rules: upload.rules, prune: upload.prune, dryRun: upload.dryRun, canonical: true };
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
		const begun = { begunMs: performance.now(), next: 0, bytes: 0 };
		const timer = setTimeout(() => this.#end(id), this.#limits.idleMs);
		const upload: Upload = { rules: [], parts, prune, dryRun, ...begun, timer };
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

	#append(upload: Upload, request: ApplyRequest, bytes: number): void {
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
		this.#reserve(upload, bytes);
		// Only what could be stored is kept: nothing that is wrong waits for the last part.
		for (const rule of request.rules) upload.rules.push(canonicalAt(upload.rules.length, rule));
		upload.next += 1;
		this.#renewTimer(request.uploadId, upload);
	}

	#reserve(upload: Upload, bytes: number): void {
		const limit = this.#limits.bytes;
		if (upload.bytes + bytes > limit) {
			throw new SluiceError(
				"too_large",
				`rules: over ${limit} bytes together: write fewer outputs and sources`,
			);
		}
		if (this.#bytes + bytes > limit) {
			throw new SluiceError("unavailable", `uploads under way fill ${limit} bytes: try again`);
		}
		upload.bytes += bytes;
		this.#bytes += bytes;
	}

	#renewTimer(id: string, upload: Upload): void {
		const leftMs = upload.begunMs + this.#limits.ageMs - performance.now();
		clearTimeout(upload.timer);
		upload.timer = setTimeout(() => this.#end(id), Math.max(0, Math.min(this.#limits.idleMs, leftMs)));
	}

	#end(id: string): void {
		const upload = this.#open.get(id);
		if (upload === undefined) return;
		clearTimeout(upload.timer);
		this.#bytes -= upload.bytes;
		this.#open.delete(id);
	}
}
