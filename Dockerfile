# The page and the HTTP API, on a CPU.
#   docker build -t cgan .
#   docker run --rm --read-only --tmpfs /tmp -p 8501:8501 cgan                                    # the page
#   docker run --rm --read-only --tmpfs /tmp -p 8000:8000 cgan serve --host 0.0.0.0               # the API
#   docker run --rm --read-only --tmpfs /tmp -p 8501:8501 -v "$PWD/logs:/work/logs:ro" cgan       # with your own runs
FROM python:3.12-slim AS build
WORKDIR /source
RUN python -m venv /opt/cgan
ENV PATH=/opt/cgan/bin:$PATH
# torch without CUDA, in a layer of its own: it changes less often than the sources.
RUN pip install --no-cache-dir "torch>=2.10" "torchvision>=0.25" --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE ./
COPY conf conf
COPY examples/plugin examples/plugin
COPY src src
# hadolint ignore=DL3013
RUN pip install --no-cache-dir ".[app,api]"

FROM python:3.12-slim
RUN useradd --uid 1000 --no-create-home cgan && mkdir /work && chown cgan /work
COPY --from=build /opt/cgan /opt/cgan
# Training is locked: whoever reaches the port is a visitor. What libraries cache lies in /tmp.
ENV PATH=/opt/cgan/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 CGAN_LOCK_TRAINING=1
USER 1000
WORKDIR /work
EXPOSE 8501 8000
# hadolint ignore=DL3025
HEALTHCHECK --start-period=60s --interval=30s --timeout=9s \
  CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health')" \
   || python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz')"
ENTRYPOINT ["cgan"]
CMD ["app", "--server.address=0.0.0.0", "--server.headless=true"]
