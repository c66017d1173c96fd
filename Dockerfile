# The image service, built from source in one stage and run from a small Debian in the other.
#
#   docker build -t image-service .
#
# Needs BuildKit (the default builder since Docker 23) for the cache mounts: a second build compiles
# only what changed. The newest versions that resolve together were tried with Rust 1.95.
#
# The base images are fixed by digest, so that a tag that is moved changes nothing. Each digest is that of the image for all
# platforms. To build on others: --build-arg RUST_IMAGE=… and --build-arg DEBIAN_IMAGE=…

ARG RUST_IMAGE
ARG DEBIAN_IMAGE

FROM ${RUST_IMAGE:-rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1} AS build

# mozjpeg builds without nasm too, but then silently without SIMD: JPEGs at two thirds of the speed. Python writes the notices.
RUN apt-get update \
    && apt-get install -y --no-install-recommends nasm python3 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY . .

# A cache mount is no part of the layer, so the binary is copied out in the same step.
RUN --mount=type=cache,id=image-service-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=image-service-target,target=/src/target,sharing=locked \
    cargo build --release --locked --features captions --bin image-service \
    && install -D -m 0755 target/release/image-service /out/image-service \
    && packaging/third_party.py /out/doc captions \
    && cp LICENSE-MIT LICENSE-APACHE /out/doc/


FROM ${DEBIAN_IMAGE:-debian:bookworm-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251}

# The certificates are for https endpoints: an S3 in the cloud, a Postgres behind TLS, imports from URLs.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/log/*.log /var/log/apt

# The ids are fixed numbers, so that the owner of a volume or of a mounted directory can be known beforehand.
RUN groupadd --gid 10001 image-service \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin image-service \
    && install -d -o 10001 -g 10001 -m 0750 /data

COPY --from=build /out/image-service /usr/local/bin/image-service
# The licences of all that is in the binary, and a list of it (CycloneDX).
COPY --from=build /out/doc /usr/share/doc/image-service

# Given as build arguments by whoever publishes an image; below everything that is slow to build.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="image-service" \
      org.opencontainers.image.description="A self-hosted image service: uploads, thumbnails, presigned links" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"

# A number and not a name: Kubernetes' runAsNonRoot cannot see that a name is not root.
USER 10001:10001

# HOST: a container's own loopback cannot be published, so listen on its every address.
# AUTH_MODE: whoever reaches a published port could claim to be any user by X-User-Id. Make the first administrator with
# `docker exec -it NAME image-service create-admin --email you@example.org`, or set ADMIN_EMAIL and ADMIN_PASSWORD_FILE.
# Behind a gateway that sets X-User-Id: AUTH_MODE=trusted, and TRUSTED_PROXIES with the gateway's address.
#
# With nothing else configured the service keeps SQLite and an S3 server of its own under /data; give that a
# name (-v images:/data), or Docker makes a nameless volume that `docker run --rm` deletes. That S3 server listens
# on the container's 127.0.0.1 only, so the API works through `-p 8000:8000` and presigned URLs do not: they
# name an address that only the container reaches. Three ways to have both:
#   - docker-compose.yml beside this file: Postgres and LocalStack, all addresses set;
#   - an S3 that clients reach: -e S3_ENDPOINT_URL=… (or aws), the AWS_* variables, and S3_PUBLIC_ENDPOINT_URL
#     where the clients' address of it is another one;
#   - on Linux, the host's network: docker run --network host -e HOST=127.0.0.1 -v images:/data image-service
ENV HOST=0.0.0.0 \
    PORT=8000 \
    AUTH_MODE=required \
    DATA_DIR=/data
VOLUME ["/data"]
EXPOSE 8000

# The binary asks itself: no curl in the image. It says that the process is up; /ready says what it depends on.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["image-service", "healthcheck"]

# SIGTERM lets requests in flight finish, for SHUTDOWN_TIMEOUT at most: `docker stop` needs a --time above that.
STOPSIGNAL SIGTERM
ENTRYPOINT ["image-service"]
