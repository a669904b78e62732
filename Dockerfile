# Tocsin in a container: one static binary, no shell, no root.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t tocsin .
#   docker run -p 9095:9095 -v tocsin:/data -e TOCSIN_ADMIN_TOKEN_FILE=/run/secrets/tocsin \
#     -v ./admin-token:/run/secrets/tocsin:ro --read-only --cap-drop ALL tocsin
#
# It listens on all addresses, and does so only with authentication: set
# TOCSIN_ADMIN_TOKEN_FILE or TOCSIN_ADMIN_TOKEN, or it says so and ends. Flags
# go after the image's name; /data is all that it writes.
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=unknown REVISION=unknown SOURCE_DATE_EPOCH=0
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH VERSION=$VERSION REVISION=$REVISION SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH scripts/build /out/tocsin \
 && mkdir /out/data

FROM scratch
# For `tocsin incident --url https://…`, and for the APIs that sources name.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/tocsin /tocsin
COPY --from=build --chown=65532:65532 --chmod=0700 /out/data /data
USER 65532:65532
VOLUME /data
# Where the spool is, unless the configuration says otherwise.
WORKDIR /data
EXPOSE 9095
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --retries=3 CMD ["/tocsin", "healthcheck"]
ENTRYPOINT ["/tocsin", "serve", "--web.listen-address=0.0.0.0:9095", "--store.url=file:/data"]
