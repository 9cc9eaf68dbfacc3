# One image for operator, broker and routes; the command says which. Only product folders and production packages
# are in it, no shell, no npm, no root.
#
#   docker build --build-arg NODE_IMAGE=… --build-arg BASE_IMAGE=… -t hublet .
#   docker buildx build --platform linux/amd64,linux/arm64 -t YOUR-REGISTRY/hublet --push .
#
# BASE_IMAGE: any that has Node 24 in PATH or in /nodejs/bin.
ARG NODE_IMAGE=docker.io/library/node:24-bookworm-slim
ARG BASE_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot

# Packages are JavaScript only, so they are gathered once, on the machine that builds, for all architectures.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS files
WORKDIR /app
COPY package.json package-lock.json ./
# Every direct dependency is pinned, the rest is in the lock with its hash; no package runs a script. Not `npm ci`, see
# the Makefile.
RUN npm install --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete \
  && rm -rf node_modules/.package-lock.json node_modules/.bin node_modules/bare-*/prebuilds
COPY LICENSE ./
COPY crds/ crds/
COPY contract/ contract/
COPY operator/ operator/
COPY broker/ broker/
COPY routes/ routes/
COPY sidecar/ sidecar/
COPY cli/ cli/

FROM ${BASE_IMAGE}
WORKDIR /app
ENV PATH=/nodejs/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV NODE_ENV=production
COPY --from=files /app /app
USER 65532:65532
# Brokers and routes are started by the operator with a command of their own.
ENTRYPOINT []
CMD ["node", "operator/main.ts"]
