# nncompare check, with bubblewrap, for systems without namespaces of their own:
# docs/checking.md has the command that runs it.
FROM python:3.12-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/nncompare
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    "/opt/nncompare[report]"

RUN useradd --create-home grader
USER grader
WORKDIR /home/grader
ENTRYPOINT ["nncompare", "check", "--isolation", "strict"]
