# The project on PyTorch with CUDA, behind a notebook server that asks for a token; see docs/container.md.
FROM pytorch/pytorch:2.12.0-cuda12.6-cudnn9-runtime

# The image is the environment. Its Python may be Debian's, into which pip installs only when told to.
ENV PIP_BREAK_SYSTEM_PACKAGES=1 PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1

# A user by name: in some bases number 1000 belongs to another one. `work` is for data and results, a volume.
RUN useradd --create-home --shell /bin/bash avtnet && \
    install --directory --owner=avtnet --group=avtnet /home/avtnet/AVTNet /home/avtnet/work
WORKDIR /home/avtnet/AVTNet

# The base's torch stays, with the CUDA that it is made for: a package that needs another one ends the build. All else
# as tested. No Debian package is needed: the wheels bring FFmpeg, OpenCV's libraries and libsndfile.
COPY requirements.txt requirements-notebook.txt constraints.txt ./
RUN python3 -m pip list --format=freeze | grep -E '^torch(vision)?==' > /tmp/torch.txt
RUN grep -vE '^(torch|torchvision|triton|nvidia-.*|cuda-.*)==' constraints.txt > /tmp/others.txt
RUN python3 -m pip install -r requirements-notebook.txt -c /tmp/torch.txt -c /tmp/others.txt

COPY --chown=avtnet:avtnet . .
USER avtnet

# The token is JUPYTER_TOKEN, or where that is empty a random one that the server prints. It does not look for newer versions.
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser", "--ServerApp.root_dir=/home/avtnet", "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly"]
