# Sourced by bring-up.sh: the system's group and users that the services run as.
# shellcheck shell=bash disable=SC2154

service_users=(sluice-nats sluice-api sluice-stats sluice-worker)

has_accounts() {
	getent group sluice >/dev/null && getent passwd "${service_users[@]}" >/dev/null
}

# Group sluice are the people who may operate; each service has a user of its own, which owns no
# file outside the data directory and cannot log in.
make_accounts() {
	has_accounts && return
	take_lock
	local user
	if ! getent group sluice >/dev/null; then
		say 'creating the system group sluice (usermod -aG sluice NAME lets NAME operate without root)'
		groupadd --system sluice || fail 'the system group sluice cannot be created' 'see the line above'
	fi
	for user in "${service_users[@]}"; do
		getent passwd "$user" >/dev/null && continue
		say "creating the system user $user"
		useradd --system --user-group --no-create-home --home-dir /nonexistent \
			--shell /usr/sbin/nologin "$user" || fail "the system user $user cannot be created" 'see the line above'
	done
	exec {lock}<&-
}
