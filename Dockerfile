# The service with its policy and model; docs/deployment.md says how to run it.
#
#   docker build -t moderation .
#   docker run --rm --read-only --tmpfs /tmp -v moderation:/var/lib/moderation -p 127.0.0.1:8000:8000 moderation

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/moderation
COPY requirements-serve.lock /src/
RUN /opt/moderation/bin/pip install --require-hashes -r /src/requirements-serve.lock
COPY pyproject.toml README.md LICENSE /src/
COPY moderation /src/moderation
COPY data /src/data
COPY models /src/models
RUN /opt/moderation/bin/pip install --no-deps /src \
 && /opt/moderation/bin/moderation check "Thank you for this report." \
 && /opt/moderation/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 moderation \
 && useradd --uid 10001 --gid moderation --no-create-home --home-dir /var/lib/moderation --shell /usr/sbin/nologin \
    moderation \
 && install -d -o moderation -g moderation -m 0700 /var/lib/moderation
COPY --from=build /opt/moderation /opt/moderation
ENV PATH=/opt/moderation/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    MODERATION_HOST=0.0.0.0 MODERATION_PORT=8000 MODERATION_STATE=/var/lib/moderation
USER 10001:10001
WORKDIR /var/lib/moderation
VOLUME /var/lib/moderation
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['MODERATION_PORT']}/readyz\", timeout=2)"]
ENTRYPOINT ["moderation"]
CMD ["serve"]
