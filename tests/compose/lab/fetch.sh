#!/bin/bash
# Brings a Docker engine, compose, and what stands in for the public images into .tools/engine, once; installs nothing.
# All of it is Debian's: engine and compose trixie's, since bookworm's know neither CAP_BPF nor compose files of today
# (docs/adr/0097), and nats-server sid's, which is as new as the image that compose.yaml names.
set -euo pipefail
root=$(readlink -f "${BASH_SOURCE[0]%/*}/../../..")
tools=$root/.tools
fresh=$tools/engine.new

# shellcheck source=scripts/launcher/steps.sh
source "$root/scripts/launcher/steps.sh"
# shellcheck source=scripts/launcher/debian.sh
source "$root/scripts/launcher/debian.sh"
find_owner

# fetch SUITE PACKAGE… -- FILE…: keeps these files of the packages as programs.
fetch() {
	local suite=$1 file
	local -a packages=()
	shift
	while [[ $1 != -- ]]; do
		packages+=("$1")
		shift
	done
	shift
	fetch_debian "$fresh/$suite" "$suite" "${packages[@]}"
	for file in "$@"; do mv "$fresh/$suite/tree/$file" "$fresh/bin/"; done
	rm -rf "${fresh:?}/$suite"
}

# What debian:*-slim stands for: a system without anything beside the essential, and the certificates that this machine
# trusts, by which it reaches its package registry.
make_base() {
	# What it mounts there ends with it, even when it is interrupted.
	unshare --mount --propagation private debootstrap --variant=minbase --include=ca-certificates bookworm "$fresh/debian" "$(debian_mirror)"
	rm -rf "$fresh"/debian/var/{lib/apt/lists,cache/apt/archives}/* "$fresh/debian/usr/share/"{doc,man,locale}
	cp /etc/ssl/certs/ca-certificates.crt "$fresh/debian/etc/ssl/machine.crt"
	tar -C "$fresh/debian" -cf "$fresh/debian.tar" .
}

# What nats:*-alpine stands for: the server and busybox. The C library is what Debian's server needs besides.
make_nats() {
	local nats=$fresh/nats applet library
	mkdir -p "$nats"/{bin,usr/local/bin}
	mv "$fresh/bin/busybox" "$nats/bin/"
	for applet in sh grep nc; do ln -s busybox "$nats/bin/$applet"; done
	# It stays for tests of what older servers lack.
	cp "$fresh/bin/nats-server" "$nats/usr/local/bin/"
	for library in "$fresh"/debian/lib/*/libc.so.6 "$fresh"/debian/lib*/ld-linux-*; do
		library=${library#"$fresh/debian/"}
		(cd "$fresh/debian" && cp --parents --dereference "$library" "$nats/")
	done
	tar -C "$nats" -cf "$fresh/nats.tar" .
	rm -rf "$nats" "$fresh/debian"
}

# One at a time fetches. The number changes with what is fetched.
in_checkout mkdir -p "$tools"
exec {lock}<"$tools"
flock "$lock"
[[ ! -e $tools/engine/complete-4 ]] || exit 0
rm -rf "$fresh"
in_checkout mkdir -p "$fresh/bin"
# Side by side: each mostly waits for the network, or for one thread that unpacks.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
fetch trixie docker.io docker-cli docker-compose containerd -- usr/sbin/dockerd usr/bin/docker \
	usr/libexec/docker/cli-plugins/docker-compose usr/bin/containerd usr/bin/containerd-shim-runc-v2 &
# Trixie's needs a newer C library.
fetch bookworm runc busybox-static -- usr/sbin/runc bin/busybox &
fetch sid nats-server -- usr/sbin/nats-server &
make_base &
for job in $(jobs -p); do wait "$job"; done
# As a plugin, which is how people call it.
mkdir -p "$fresh/.docker/cli-plugins"
ln -s ../../bin/docker-compose "$fresh/.docker/cli-plugins/docker-compose"
make_nats
touch "$fresh/complete-4"
rm -rf "$tools/engine"
mv "$fresh" "$tools/engine"
