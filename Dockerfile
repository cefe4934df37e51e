# The commands in a container:  docker build -t allcnn .   (EXTRA=cuda: for NVIDIA's container runtime)
#   docker run --rm -v "$PWD:/here" allcnn train --model strided-b --dataset digits --recipe fast
#   docker build --build-arg EXTRA=cuda -t allcnn:cuda . && docker run --rm --gpus all -v "$PWD:/here" allcnn:cuda ...
FROM python:3.11-slim
ARG EXTRA=export
COPY . /src
RUN pip install --no-cache-dir "/src[$EXTRA]"
WORKDIR /here
ENTRYPOINT ["allcnn"]
