# The gateway as one process, on a root file system that holds nothing but the program, the libraries that it loads and the
# dashboard. tests/e2e/container.test.mjs lays out the same root and runs it as this file says.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock vercel.json ./
COPY api api
COPY bench bench
COPY cli cli
COPY fake fake
COPY lib lib
COPY migrations migrations
COPY public public
COPY scripts/stage-root.sh scripts/
RUN cargo build --release --locked --bin llm-gateway
RUN sh scripts/stage-root.sh target/release/llm-gateway /staged

FROM scratch
COPY --from=build /staged /
ENV HOST=0.0.0.0 PORT=13010 PUBLIC_DIR=/usr/share/llm-gateway
USER 65532:65532
EXPOSE 13010
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s --retries=3 CMD ["/usr/bin/llm-gateway", "health"]
ENTRYPOINT ["/usr/bin/llm-gateway"]
CMD ["serve"]
