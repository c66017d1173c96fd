# Builds the image service from source and packages it in a slim Debian image.
#
#   docker build -t image-service .
#
# Requires BuildKit (the default builder since Docker 23) for the cache mounts, with which a second build compiles
# only what changed. Tested with Rust 1.95 and the newest compatible dependencies.
#
# The base images are pinned by the digest of their multi-platform index, so a moved tag has no effect.
# To use others: --build-arg RUST_IMAGE=… and --build-arg DEBIAN_IMAGE=…

ARG RUST_IMAGE
ARG DEBIAN_IMAGE

FROM ${RUST_IMAGE:-rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1} AS build

# nasm: without it, libjpeg is built without SIMD. python3: for the licence notices.
RUN apt-get update \
    && apt-get install -y --no-install-recommends nasm python3 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY . .

# Cache mounts are not part of the layer, so the same step copies the binary out.
RUN --mount=type=cache,id=image-service-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=image-service-target,target=/src/target,sharing=locked \
    cargo build --release --locked --features captions --bin image-service \
    && install -D -m 0755 target/release/image-service /out/image-service \
    && packaging/third_party.py /out/doc captions \
    && cp LICENSE-MIT LICENSE-APACHE /out/doc/


FROM ${DEBIAN_IMAGE:-debian:bookworm-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251}

# The certificates are for TLS connections: S3 in the cloud, PostgreSQL, and imports from https URLs.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/log/*.log /var/log/apt

# The ids are fixed, so that you can set the owner of a volume or mounted directory in advance.
RUN groupadd --gid 10001 image-service \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin image-service \
    && install -d -o 10001 -g 10001 -m 0750 /data

COPY --from=build /out/image-service /usr/local/bin/image-service
# The licences of all dependencies, and a bill of materials (CycloneDX).
COPY --from=build /out/doc /usr/share/doc/image-service

# Build arguments for publishing an image. They come after the slow steps, so that a new value does not invalidate their cache.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="image-service" \
      org.opencontainers.image.description="A self-hosted image service: uploads, thumbnails, presigned links" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"

# A numeric id: Kubernetes' runAsNonRoot cannot verify a user name.
USER 10001:10001

# HOST: a published port does not reach the container's loopback, so the service must listen on all addresses.
# AUTH_MODE: without required authentication, any client of a published port could set X-User-Id and act as any user.
# Create the first administrator with `docker exec -it NAME image-service create-admin --email you@example.org`,
# or set ADMIN_EMAIL and ADMIN_PASSWORD_FILE.
# Behind a gateway that sets X-User-Id, set AUTH_MODE=trusted, and TRUSTED_PROXIES to the gateway's address.
#
# By default the service stores SQLite and its embedded S3 server under /data. Name the volume (-v images:/data);
# otherwise Docker creates an anonymous one, which `docker run --rm` deletes. The embedded S3 server listens only
# on the container's 127.0.0.1, so with `-p 8000:8000` the API works, but presigned URLs do not: they contain an
# address that clients cannot reach. Three configurations support both:
#   - docker-compose.yml: PostgreSQL and LocalStack, with all addresses set;
#   - an S3 server that clients can reach: -e S3_ENDPOINT_URL=… (or aws), the AWS_* variables, and
#     S3_PUBLIC_ENDPOINT_URL if clients use another address for it;
#   - on Linux, the host's network: docker run --network host -e HOST=127.0.0.1 -v images:/data image-service
ENV HOST=0.0.0.0 \
    PORT=8000 \
    AUTH_MODE=required \
    DATA_DIR=/data
VOLUME ["/data"]
EXPOSE 8000

# The binary checks itself, so the image needs no curl. This checks the process only; /ready also checks its dependencies.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["image-service", "healthcheck"]

# On SIGTERM, open requests may finish within SHUTDOWN_TIMEOUT: give `docker stop` a longer --time.
STOPSIGNAL SIGTERM
ENTRYPOINT ["image-service"]
