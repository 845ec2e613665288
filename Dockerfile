# The image of every process of a real deployment: `onsale api`, `onsale worker`, `onsale migrate`.
# It holds what requirements-server.txt says and the engine; no embedded servers, no secrets.

FROM python:3.13-slim AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /build
COPY requirements.txt requirements-server.txt ./
# The installer is pinned in requirements.txt like all else.
RUN awk '/^[a-z]/ { uv = /^uv==/ } uv && !/^ *#/' requirements.txt > uv.txt \
    && pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r uv.txt \
    && python -m venv --without-pip /onsale/venv \
    && uv pip install --no-cache --python /onsale/venv/bin/python --no-build --require-hashes \
        -r requirements-server.txt

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin onsale
WORKDIR /onsale
COPY --from=build /onsale/venv venv
COPY engine engine
COPY lua lua
COPY migrations migrations
RUN printf '#!/bin/sh\nexec /onsale/venv/bin/python -m engine.app.cli "$@"\n' > venv/bin/onsale \
    && chmod 0755 venv/bin/onsale
ENV PATH=/onsale/venv/bin:$PATH PYTHONPATH=/onsale PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ONSALE_ENVIRONMENT=production ONSALE_API_HOST=0.0.0.0
USER onsale
EXPOSE 8080 8081 8082 8083
# The API's; the worker has its own in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health/live', timeout=2)"]
ENTRYPOINT ["onsale"]
CMD ["api"]
