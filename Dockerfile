# One image for every process: `docker build -t velocity .`, then `docker run velocity stream`, `batch`, `serve`, `topics apply` …
# Everything in it is locked by hash. The embedded Kafka of `velocity demo` is not in it.

FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements/base.txt requirements/build.txt requirements/
RUN python -m venv /opt/velocity \
    && /opt/velocity/bin/pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements/base.txt \
    && pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY runtime runtime
COPY streams streams
COPY batcher batcher
COPY console console
COPY sandbox sandbox
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/velocity/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl

FROM python:3.12-slim
LABEL org.opencontainers.image.title="velocity" \
      org.opencontainers.image.description="WMS event streams to deterministic SKU velocity coefficients" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --home-dir /var/lib/velocity --create-home velocity \
    && install -d -o velocity -g velocity /var/lib/velocity/store /var/lib/velocity/state /var/lib/velocity/access
COPY --from=build /opt/velocity /opt/velocity
COPY deploy/healthcheck.py /opt/velocity/healthcheck.py

ENV PATH=/opt/velocity/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VELOCITY_LOG__FORMAT=json \
    VELOCITY_STORE__URL=/var/lib/velocity/store \
    VELOCITY_STATE_DIR=/var/lib/velocity/state \
    VELOCITY_STREAM__HTTP_HOST=0.0.0.0
USER 10001:10001
WORKDIR /var/lib/velocity
EXPOSE 8080 8081 8090

# Not ready is not dead: it says why on /readyz, and nothing should restart it for that.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "/opt/velocity/healthcheck.py"]

# Exec form: SIGTERM reaches the worker, which finishes the fetch in hand, checkpoints, and exits 0 within 10 s.
ENTRYPOINT ["velocity"]
CMD ["--help"]
