import {
	chmodSync,
	closeSync,
	existsSync,
	mkdirSync,
	openSync,
	rmSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { resolve } from "node:path";
import { must, run } from "./commands.ts";
import type { Namespace } from "./namespace.ts";

const SOURCE = resolve(import.meta.dir, "off-clock.c");
/** Another /etc, for what it starts alone: what is named in ld.so.preload is loaded into every program. */
const IN_ITS_OWN_ETC = 'mount -t overlay overlay -o "lowerdir=$1:/etc" /etc && shift && exec "$@"';
const withEtc = (folder: string) => ["unshare", "--mount", "sh", "-c", IN_ITS_OWN_ETC, "sh", folder];

/**
 * The clock of one host, which is off for every program that is started in its namespace from then on, and can be set
 * while they run. The kernel has no such thing: time namespaces leave the real time alone.
 */
export class OffClock {
	private constructor(readonly folder: string) {}

	/** Why there can be none here; undefined: there can. */
	static async missing(): Promise<string | undefined> {
		if (!Bun.which("cc")) return "there is no C compiler";
		const { code } = await run([...withEtc("/tmp"), "true"]);
		return code === 0 ? undefined : "no overlay can be mounted on /etc";
	}

	static async of(host: Namespace, offSeconds: number): Promise<OffClock> {
		// Workers read it, who are nobody here.
		const clock = new OffClock(`/tmp/sluice-clock-${crypto.randomUUID().slice(0, 8)}`);
		const { folder } = clock;
		mkdirSync(`${folder}/etc`, { recursive: true });
		clock.set(offSeconds);
		await must([
			...["cc", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"],
			...[`-DOFFSET_FILE="${folder}/offset"`, "-o", `${folder}/clock.so`, SOURCE, "-ldl"],
		]);
		writeFileSync(`${folder}/etc/ld.so.preload`, `${folder}/clock.so\n`);
		for (const path of ["", "/etc", "/etc/ld.so.preload", "/clock.so"]) chmodSync(`${folder}${path}`, 0o755);
		host.startBy(...withEtc(`${folder}/etc`));
		return clock;
	}

	/** So many seconds off from now on, for what runs as well. */
	set(offSeconds: number): void {
		const path = `${this.folder}/offset`;
		if (!existsSync(path)) writeFileSync(path, "", { mode: 0o644 });
		// In place and never shorter, since whoever runs has it mapped.
		const fd = openSync(path, "r+");
		writeSync(fd, new BigInt64Array([BigInt(offSeconds)]), 0, 8, 0);
		closeSync(fd);
	}

	remove(): void {
		rmSync(this.folder, { recursive: true, force: true });
	}
}
