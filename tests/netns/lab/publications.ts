import { until } from "./commands.ts";

interface ToldWorker {
	host: string;
	worker: number;
	/** Since it was last heard. */
	ageSeconds: number;
	stale: boolean;
}

/** A publication is seen if the one before was older when it was asked for: by chance, where asking takes a second. */
const DEADLINE_MS = 60_000;

/**
 * Waits until each worker that is there has published so many times more, as it does each second: what it took before
 * it has sent by then.
 * @param stats what `sluice stats --json` prints
 */
export async function publications(stats: () => Promise<string>, count: number): Promise<void> {
	const heard = new Map<string, { ageSeconds: number; times: number }>();
	const published = async () => {
		const all = JSON.parse(await stats()) as { workers: ToldWorker[] };
		const workers = all.workers.filter(({ stale }) => !stale);
		const times = workers.map(({ host, worker, ageSeconds }) => {
			const before = heard.get(`${host} ${worker}`) ?? { ageSeconds, times: 0 };
			const now = ageSeconds < before.ageSeconds ? before.times + 1 : before.times;
			heard.set(`${host} ${worker}`, { ageSeconds, times: now });
			return now;
		});
		return (times.length > 0 && times.every((each) => each >= count)) || undefined;
	};
	await until(`each worker has published ${count} times more`, published, DEADLINE_MS);
}
