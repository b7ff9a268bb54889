# Trimtab's image: `docker build -t trimtab:0.1.0 .`
# It has not been built where it was written, as there is no Docker engine there.
FROM python:3.13-slim AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir 'uv>=0.9'
WORKDIR /src
# The locked packages first: they change less often than the code.
COPY pyproject.toml uv.lock ./
RUN UV_PROJECT_ENVIRONMENT=/opt/trimtab uv sync --frozen --no-default-groups --no-install-project
COPY README.md LICENSE ./
COPY operator ./operator
RUN UV_PROJECT_ENVIRONMENT=/opt/trimtab uv sync --frozen --no-default-groups --no-editable

FROM python:3.13-slim
LABEL org.opencontainers.image.title="trimtab" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/trimtab /opt/trimtab
ENV PATH=/opt/trimtab/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that runAsNonRoot can be checked.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["trimtab"]
CMD ["run"]
