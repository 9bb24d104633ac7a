/** What a request is told while a snapshot is not current: that does not tell which of the two it is. */
export const NOT_CURRENT =
	"the connection to NATS is away, or its bucket is lost or still being read: try again in a few seconds; " +
	"the log of control-api says which";
