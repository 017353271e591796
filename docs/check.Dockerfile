# nncompare check, with bubblewrap, for systems without namespaces of their own:
# docs/checking.md has the command that runs it.
FROM python:3.12-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/nncompare
# PyTorch for processors alone, or none: the other has gigabytes for GPUs.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch \
    && pip install --no-cache-dir "/opt/nncompare[report]"

RUN useradd --create-home grader
USER grader
WORKDIR /home/grader
ENTRYPOINT ["nncompare", "check", "--isolation", "strict"]
