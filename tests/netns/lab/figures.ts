/** proto3 JSON writes 64-bit numbers as strings; no figure of a test exceeds 2^53. */
export function numbers(value: unknown): unknown {
	if (Array.isArray(value)) return value.map(numbers);
	if (value !== null && typeof value === "object") {
		return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, numbers(field)]));
	}
	return typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
}
