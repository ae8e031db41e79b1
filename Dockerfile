# The mock as an image. What builds it stays behind; what runs is not root, and writes nowhere but /data.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/walletproof
COPY requirements/run.txt requirements/
RUN /opt/walletproof/bin/python -m pip install -q --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md ./
COPY contract_tests contract_tests
COPY mock_server mock_server
COPY walletproof walletproof
COPY openapi openapi
COPY fixtures fixtures
RUN /opt/walletproof/bin/python -m pip install -q --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.11-slim
COPY --from=build /opt/walletproof /opt/walletproof
# A number, which needs no entry in /etc/passwd, and which Kubernetes can tell from root.
RUN install -d -o 10001 -g 10001 /data
ENV PATH=/opt/walletproof/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
EXPOSE 8080
# Not urllib, which would ask a proxy that the environment names.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8080, timeout=2); c.request('GET', '/_mock/health'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["walletproof"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
