#!/bin/bash
# Brings Bun for arm64, of the launcher's version, into .tools/arm64, once; prints where its program is.
set -euo pipefail
root=$(readlink -f "${BASH_SOURCE[0]%/*}/../../..")
tools=$root/.tools
package=@oven/bun-linux-aarch64

# shellcheck source=scripts/launcher/steps.sh
source "$root/scripts/launcher/steps.sh"
# shellcheck source=scripts/launcher/tools.sh
source "$root/scripts/launcher/tools.sh"
find_owner

area=$tools/arm64
program=$area/bun-$bun_version
in_checkout mkdir -p "$area"
exec {lock}<"$area"
flock "$lock"
if [[ ! -x $program ]]; then
	rm -rf "${area:?}"/*
	in_checkout mkdir "$area/npm"
	# A package of its own: the checkout's is not touched.
	in_checkout tee "$area/npm/package.json" <<<'{}' >/dev/null
	in_checkout "$tools/bin/bun" add --cwd "$area/npm" --ignore-scripts --no-progress --os=linux --cpu=arm64 \
		"$package@$bun_version" >&2
	in_checkout chmod 0755 "$area/npm/node_modules/$package/bin/bun"
	in_checkout cp "$area/npm/node_modules/$package/bin/bun" "$program.new"
	mv "$program.new" "$program"
	rm -rf "$area/npm"
fi
echo "$program"
