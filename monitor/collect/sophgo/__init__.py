"""Sophgo TPUs: tpu-smi, its older relative bm-smi, and the driver's files."""
