"""NVIDIA GPUs: the driver's library, and nvidia-smi."""
