# Sourced by bring-up.sh: the system's group and users that the services run as.
# shellcheck shell=bash

# Group sluice are the people who may operate; each service has a user of its own.
make_accounts() {
	local user
	if ! getent group sluice >/dev/null; then
		say 'creating the system group sluice (its members may operate without root)'
		groupadd --system sluice || fail 'the system group sluice cannot be created' 'see the line above'
	fi
	for user in sluice-nats sluice-api sluice-stats sluice-worker; do
		getent passwd "$user" >/dev/null && continue
		say "creating the system user $user"
		useradd --system --user-group --no-create-home --home-dir /nonexistent \
			--shell /usr/sbin/nologin "$user" || fail "the system user $user cannot be created" 'see the line above'
	done
}
