# docker build -t zot .
# A drop-in for zot's own image: port 5000, `serve /etc/zot/config.json`, data in /var/lib/registry.

FROM python:3.13-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev libldap-dev libsasl2-dev \
 && rm -rf /var/lib/apt/lists/* \
 && pip install --no-cache-dir uv==0.13.9
ENV UV_PROJECT_ENVIRONMENT=/opt/zot UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY pyproject.toml uv.lock LICENSE ./
COPY packaging/index.md packaging/
# The dependencies are a separate layer, since they change less often than the source.
RUN uv sync --locked --no-dev --all-extras --no-install-project
COPY src src
RUN uv sync --locked --no-dev --all-extras --no-editable

FROM python:3.13-slim-bookworm
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libldap-2.5-0 libsasl2-2 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --home-dir /var/lib/registry --shell /usr/sbin/nologin zot \
 && install --directory --owner zot --group zot --mode 0750 /var/lib/registry
COPY --from=build /opt/zot /opt/zot
COPY packaging/config.json /etc/zot/config.json
ENV PATH=/opt/zot/bin:$PATH PYTHONDONTWRITEBYTECODE=1
# By number, so that Kubernetes can check that it is not root (runAsNonRoot).
USER 10001:10001
EXPOSE 5000
VOLUME /var/lib/registry
ENTRYPOINT ["/opt/zot/bin/zot"]
CMD ["serve", "/etc/zot/config.json"]
