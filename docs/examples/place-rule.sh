#!/bin/sh
# Places a rule from a shell: watches, puts it, waits until it is ACTIVE, reads its figures, removes it,
# also when something fails in between.
#
#   sudo ./sluice credentials orchestrator robot --out robot.json
#   docs/examples/place-rule.sh robot.json r0 r1
#
# Needs jq and the nats command line tool. Ends with 0 if all went well.
set -eu
credentials=$1
input=${2:-r0}
output=${3:-r1}

scratch=$(mktemp -d)
watcher=
placed=
leave() {
	# A rule that never became ACTIVE would wait for ever.
	[ -z "$placed" ] || ask sluice.v1.rule.remove '{"name": "video"}' >/dev/null 2>&1 || true
	kill $watcher 2>/dev/null || true
	rm -rf "$scratch"
}
trap leave EXIT

# The nats tool takes the seed from a file of its own.
(umask 077 && jq -r .seed "$credentials" >"$scratch/seed")
server=$(jq -r .url "$credentials")
# There is one when the server speaks TLS.
ca=$scratch/ca
jq -r '.ca // empty' "$credentials" >"$ca"
[ -s "$ca" ] || ca=

# ask SUBJECT JSON: prints the answer. The tool ends with 0 whatever came, and writes headers to standard error; an error is
# in those alone. Without --no-context a context that somebody selected may bring a user, who comes before the key.
ask() {
	nats --no-context --server "$server" --nkey "$scratch/seed" ${ca:+--tlsca "$ca"} req "$1" "$2" >"$scratch/answer" 2>"$scratch/headers" || true
	code=$(sed -n 's/.*Nats-Service-Error-Code: *//p' "$scratch/headers")
	if [ -n "$code" ]; then
		error=$(sed -n 's/.*Nats-Service-Error: *//p' "$scratch/headers")
		echo "$1 refused: $code $error" >&2
		return 1
	fi
	if ! grep -q . "$scratch/answer"; then
		# Of a time that passes the tool says nothing.
		why=$(grep -v 'Sending request on' "$scratch/headers" | tail -n 1)
		echo "$1 not answered: ${why:-nothing came in time}" >&2
		return 1
	fi
	cat "$scratch/answer"
}

# within SECONDS COMMAND: again and again until it succeeds.
within() {
	end=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -le "$end" ] || return 1
		sleep 0.1
	done
}

# Events are told once: whoever wants them listens first.
nats --no-context --server "$server" --nkey "$scratch/seed" ${ca:+--tlsca "$ca"} sub 'sluice.v1.event.>' >"$scratch/events" 2>&1 &
watcher=$!
within 5 grep -q '^[^{]*Subscribing on' "$scratch/events" || { cat "$scratch/events" >&2; exit 1; }

# 1. Put. The answer comes once the rule is durable; hosts take it up in the next moments. Revision 0 says that there must be
# no rule of that name: without it, a put replaces the one that is there.
rule='{
	"name": "video",
	"input": { "interface": "'"$input"'", "group": "239.1.1.1", "port": 5001 },
	"outputs": [{ "interface": "'"$output"'", "address": "239.10.1.1", "port": 6001 }]
}'
ask sluice.v1.rule.put "{\"expectedRevision\": \"0\", \"rule\": $rule}" >"$scratch/put"
placed=yes
echo "put: revision $(jq -r .rule.revision "$scratch/put")"

# 2. Wait until every host concerned forwards.
is_active() {
	ask sluice.v1.rule.get '{"name": "video"}' >"$scratch/rule" || exit 1
	jq -e '.rule.hosts | length > 0 and all(.state == "ACTIVE")' "$scratch/rule" >"$scratch/all"
}
within 5 is_active || waited=in_vain
jq -r '.rule.hosts[] | "\(.host): \(.state)" + if .reason == "" then "" else ", \(.reason)" end' "$scratch/rule"
[ -z "${waited:-}" ] || exit 1

# 3. Figures, merged over all hosts. 64-bit numbers are strings in JSON.
ask sluice.v1.stats.get '{"names": ["video"]}' >"$scratch/stats"
jq -r '.rules[] | "\(.name): \(.receivedPackets) received, \(.forwardedPackets) forwarded"' "$scratch/stats"

# 4. What is refused says why: here another rule takes the same datagrams already.
if ask sluice.v1.rule.put "{\"rule\": $(printf %s "$rule" | jq -c '.name = "other"')}"; then exit 1; fi

# 5. Remove.
ask sluice.v1.rule.remove '{"name": "video"}' >"$scratch/removed"
placed=
echo "removed: revision $(jq -r .revision "$scratch/removed")"

# 6. What the watcher heard meanwhile, one event a line.
within 5 grep -q '"withdrawn":true' "$scratch/events"
grep '^{' "$scratch/events" | jq -c '{name, host, change, state, withdrawn} | del(..|nulls)'
