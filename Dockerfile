# The command `cut3r` with the 3D page, and nothing else. The folder that the footage is in comes as /data.
#
#   docker build -t cut3r .
#   docker run --rm -p 127.0.0.1:8080:8080 cut3r                                     the example; http://localhost:8080
#
# With a GPU of NVIDIA (its container toolkit installed), PyTorch from PyPI, which brings CUDA along:
#
#   docker build -t cut3r:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .
#   docker run --rm --gpus all -p 127.0.0.1:8080:8080 -v "$PWD:/data" -v cut3r:/networks cut3r:cuda \
#       run kitchen.mp4 --model_path 512-dpt --host 0.0.0.0
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /source
COPY constraints.txt ./
RUN pip install --no-cache-dir --index-url ${TORCH_INDEX} --extra-index-url https://pypi.org/simple torch -c constraints.txt
COPY pyproject.toml setup.py requirements*.txt README.md LICENSE NOTICE demo.py demo_ga.py train.py ./
COPY src ./src
COPY assets ./assets
COPY configs ./configs
COPY eval ./eval
COPY datasets_preprocess ./datasets_preprocess
RUN pip install --no-cache-dir '.[viewer]' -c constraints.txt && rm -rf /source/*
ENV CUT3R_HOME=/networks
WORKDIR /data
EXPOSE 8080
ENTRYPOINT ["cut3r"]
CMD ["run", "--host", "0.0.0.0"]
