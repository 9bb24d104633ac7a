# One image for control-api, stats-aggregator, relay and init; compose.yaml says which is which.
#
# Debian on both sides, so that the C library that libsluice.so was linked with is the one it runs with. bun comes from its
# own image; on x86-64 that one needs AVX2: name another with --build-arg BUN_IMAGE where there is none.
ARG DEBIAN_IMAGE=debian:12.12-slim
ARG BUN_IMAGE=oven/bun:1.4.5-slim

FROM ${BUN_IMAGE} AS bun

FROM ${DEBIAN_IMAGE} AS build
RUN apt-get -q update \
	&& apt-get -q -y --no-install-recommends install ca-certificates gcc libc6-dev make \
	&& rm -rf /var/lib/apt/lists/*
COPY --from=bun /usr/local/bin/bun /usr/local/bin/bun
WORKDIR /src
COPY package.json bun.lock bunfig.toml tsconfig.json ./
COPY proto proto
COPY dataplane-c dataplane-c
COPY services services
COPY scripts scripts
COPY tests/package.json tests/
RUN bun install --frozen-lockfile --ignore-scripts --omit=dev && bun --no-env-file scripts/build.ts
# What services run from, as `up` stages it (docs/adr/0023): root's, readable by all.
RUN mkdir /stage \
	&& cp build/*.js build/*.jsc build/libsluice.so build/sluice-keeper build/sluice-gen build/sluice-recv /stage/ \
	&& cp /usr/local/bin/bun /stage/ \
	&& strip --strip-unneeded /stage/libsluice.so /stage/sluice-* \
	&& chmod -R u=rwX,go=rX /stage

FROM ${DEBIAN_IMAGE}
# The users of `up` (docs/security.md), with numbers that no system gives away by itself: compose.yaml names them, and
# they own files in a volume that outlives the image.
RUN groupadd --gid 65520 sluice \
	&& number=65521 \
	&& for user in sluice-nats sluice-api sluice-stats sluice-worker sluice-keys; do \
		groupadd --gid $number $user \
		&& useradd --uid $number --gid $number --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin $user \
		&& number=$((number + 1)) || exit 1; \
	done \
	&& usermod --append --groups sluice sluice-api \
	&& usermod --append --groups sluice sluice-stats \
	&& groupadd --gid 65526 sluice-relay \
	&& mkdir /run/sluice
# Whose the volumes are: an empty one gets owners and modes from here when it is first mounted, so that nobody has to give
# files away (docs/adr/0104).
RUN install -d -m 0750 -o sluice-keys -g sluice /var/lib/sluice /var/lib/sluice/credentials \
	&& install -d -m 0700 -o sluice-nats -g sluice-nats /var/lib/sluice/nats \
	&& install -d -m 0700 /var/lib/sluice/supervisor
COPY --from=build /stage /opt/sluice
COPY scripts/container /usr/local/bin
# Nobody's, who may do nothing: compose.yaml gives each service its own, and says of the relay that it is root.
USER sluice-worker
ENTRYPOINT ["entry"]
