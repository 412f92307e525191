# syntax is plain: builds with any docker from 20.10 on.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
RUN python3 -m venv /build && python3 -m venv /opt/monitor
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN /build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock \
 && /opt/monitor/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY monitor monitor
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
 && /opt/monitor/bin/pip install --no-cache-dir --no-deps /wheel/*.whl \
 && /opt/monitor/bin/python -m compileall -q /opt/monitor \
 && /opt/monitor/bin/pip uninstall --yes --quiet pip

FROM ${BASE}
COPY --from=build /opt/monitor /opt/monitor
# Writable for group 0 too: the level "process facts" runs as root without the right to override permissions.
RUN mkdir -p /data/vllm-monitor && chown -R 10001:0 /data && chmod -R 2770 /data
ENV PATH=/opt/monitor/bin:$PATH XDG_STATE_HOME=/data PYTHONDONTWRITEBYTECODE=1
USER 10001:0
VOLUME /data
EXPOSE 9877
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9877/-/healthy', timeout=4)"]
ENTRYPOINT ["monitor"]
CMD ["serve", "--web.listen-address", "0.0.0.0:9877"]
