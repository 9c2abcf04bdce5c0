#!/usr/bin/env bash
# Builds the program with CUDA on a machine that has neither a GPU nor a driver.
#
#     scripts/build-cuda.sh [FEATURES]          (default: cuda; `nccl` adds several GPUs, it wants Open MPI's headers too)
#
# The result is target/cuda/release/expert-cli. nvcc, headers and libraries of CUDA 13.0 come from Python wheels, once,
# into target/cuda/toolkit (1.2 GB). 13.0 because a driver of the 580 series refuses what a newer nvcc writes.
#   CUDA_TOOLKIT         another folder for the toolkit
#   CUDA_COMPUTE_CAP     the GPU's compute capability without its dot (default 90; 80 runs on everything since Ampere)
#   CARGO_BUILD_JOBS, CUDAFORGE_THREADS    how many things are compiled at a time (default 2)
# The program needs libcuda, libcudart, libcublas, libcurand and libnvrtc of CUDA 13 when it starts: docs/GPU.md.
set -euo pipefail
cd "$(dirname "$0")/.."
features=${1:-cuda}
version=13.0.2
nccl_version=2.28.9
prefix=$(realpath -m "${CUDA_TOOLKIT:-target/cuda/toolkit}")
root=$prefix/nvidia/cu13

if [ ! -x "$root/bin/nvcc" ] || { [ "$features" = nccl ] && [ ! -e "$prefix/nvidia/nccl" ]; }; then
  packages=("cuda-toolkit[nvcc,crt,nvvm,cccl,cudart,cublas,curand,nvrtc]==$version")
  if [ "$features" = nccl ]; then packages+=("nvidia-nccl-cu13==$nccl_version"); fi
  # All in one call: a second one into the same folder would replace what the first one put there.
  rm -rf "$prefix/nvidia"
  python3 -m pip install --quiet --no-compile --upgrade --target "$prefix" "${packages[@]}"
fi

# Wheels carry no executable bits, no lib64 and only versioned library names.
chmod +x "$root"/bin/* "$root"/nvvm/bin/*
ln -sfn lib "$root/lib64"
for library in "$root"/lib/lib*.so.[0-9]* "$prefix"/nvidia/nccl/lib/libnccl.so.2; do
  name=$(basename "$library")
  case $name in *.alt.* | *builtins*) continue ;; esac
  if [ -e "$library" ]; then ln -sf "$library" "$root/lib/${name%%.so.*}.so"; fi
done

# libcuda belongs to the driver, no wheel has it. This stand-in knows every name of the driver's interface and answers
# each call with an error (999): enough to link, and to start the program where no GPU is.
stubs=$root/lib/stubs
if [ ! -e "$stubs/libcuda.so.1" ]; then
  mkdir -p "$stubs"
  grep -ohE '\bcu[A-Z][A-Za-z0-9_]*' "$root/include/cuda.h" | sort -u |
    sed 's/.*/int &(void) { return 999; }/' > "$stubs/libcuda.c"
  "${CC:-cc}" -w -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$stubs/libcuda.so" "$stubs/libcuda.c"
  ln -sf libcuda.so "$stubs/libcuda.so.1"
fi

export CUDA_HOME=$root CUDA_PATH=$root NVCC=$root/bin/nvcc PATH=$root/bin:$PATH
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
export CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-2} CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-2}
export LIBRARY_PATH=$root/lib:$stubs${LIBRARY_PATH:+:$LIBRARY_PATH}
cargo build --release --locked --features "$features" --target-dir target/cuda
ls -l target/cuda/release/expert-cli
