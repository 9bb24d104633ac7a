/**
 * The parts of each service whose logging can be set apart: what `sluice log level` takes.
 * docs/cli.md says what each of them tells.
 */
export const facilities = {
	"control-api": ["main", "http", "nats", "rules"],
	supervisor: ["main", "interfaces", "membership", "nats", "reconcile", "workers"],
	worker: ["capture", "channel", "counters", "egress", "table"],
	"stats-aggregator": ["main", "fold", "nats", "query"],
} as const;

export type ServiceName = keyof typeof facilities;
export type FacilityName = (typeof facilities)[ServiceName][number];

export const serviceNames = Object.keys(facilities) as ServiceName[];

/** The facilities of one service; of every service when it is not named. Undefined: there is no such service. */
export function facilitiesOf(service: string): readonly string[] | undefined {
	if (service === "") return Array.from(new Set(Object.values(facilities).flat())).sort();
	return Object.hasOwn(facilities, service) ? facilities[service as ServiceName] : undefined;
}
