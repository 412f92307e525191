"""Ascend NPUs: npu-smi, and Huawei's exporter."""
