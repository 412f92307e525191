"""What the tuning guides name in a serving process: variables, arguments, packages. Data that the catalogue reads."""

VARIABLES = (
    # torch_npu, CANN and HCCL
    "PYTORCH_NPU_ALLOC_CONF",
    "TASK_QUEUE_ENABLE",
    "CPU_AFFINITY_CONF",
    "HCCL_OP_EXPANSION_MODE",
    "HCCL_INTRA_ROCE_ENABLE",
    "HCCL_INTRA_PCIE_ENABLE",
    "HCCL_RDMA_TC",
    "HCCL_RDMA_SL",
    "HCCL_BUFFSIZE",
    "HCCL_SO_PATH",
    "ASCEND_HOME_PATH",
    "ASCEND_TOOLKIT_HOME",
    "ASCEND_RT_VISIBLE_DEVICES",
    "ASCEND_LAUNCH_BLOCKING",
    "ASCEND_GLOBAL_LOG_LEVEL",
    "SOC_VERSION",
    # vllm-ascend, over its versions
    "VLLM_ASCEND_ENABLE_FLASHCOMM",
    "VLLM_ASCEND_ENABLE_FLASHCOMM1",
    "VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE",
    "VLLM_ASCEND_ENABLE_PREFETCH_MLP",
    "VLLM_ASCEND_MLP_GATE_UP_PREFETCH_SIZE",
    "VLLM_ASCEND_MLP_DOWN_PREFETCH_SIZE",
    "VLLM_ASCEND_ENABLE_DENSE_OPTIMIZE",
    "VLLM_ASCEND_ENABLE_MLP_OPTIMIZE",
    "VLLM_ASCEND_ENABLE_TOPK_OPTIMIZE",
    "VLLM_ASCEND_ENABLE_TOPK_TOPP_OPTIMIZATION",
    "VLLM_ASCEND_ENABLE_MLAPO",
    "VLLM_ASCEND_ENABLE_NZ",
    "VLLM_ASCEND_ENABLE_FUSED_MC2",
    "VLLM_ASCEND_BALANCE_SCHEDULING",
    "VLLM_ASCEND_ENABLE_MATMUL_ALLREDUCE",
    "VLLM_ASCEND_ENABLE_CONTEXT_PARALLEL",
    "VLLM_ASCEND_ENABLE_DBO",
    "VLLM_ASCEND_TRACE_RECOMPILES",
    "VLLM_ASCEND_MODEL_EXECUTE_TIME_OBSERVE",
    "VLLM_ASCEND_KV_CACHE_MEGABYTES_FLOATING_TOLERANCE",
    "VLLM_ASCEND_MLA_PA",
    "VLLM_ASCEND_KVCACHE_DELAY_FREE_TIMEOUT",
    "VLLM_ASCEND_LLMDD_RPC_IP",
    "VLLM_ASCEND_LLMDD_RPC_PORT",
    "VLLM_ASCEND_FUSION_OP_TRANSPOSE_KV_CACHE_BY_BLOCK",
    "VLLM_ASCEND_ENABLE_BATCH_MEMCPY",
    "VLLM_ASCEND_APPLY_DSV4_PATCH",
    "VLLM_ASCEND_ENABLE_CHUNK_MC2",
    "VLLM_ASCEND_FUSED_MOE_MC2_CHUNK_SIZE",
    "VLLM_ASCEND_EXTERNAL_DP_LB_ENABLED",
    "VLLM_ASCEND_MOE_ALL2ALL_BUFFER",
    "VLLM_ASCEND_ENABLE_MOE_ALL2ALL_SEQ",
    "DYNAMIC_EPLB",
    "MSMONITOR_USE_DAEMON",
    "USE_OPTIMIZED_MODEL",
    # vLLM
    "VLLM_USE_V1",
    "VLLM_USE_MODELSCOPE",
    "VLLM_VERSION",
    "VLLM_USE_RUST_FRONTEND",
    "VLLM_ATTENTION_BACKEND",
    "VLLM_ENABLE_V1_MULTIPROCESSING",
    "VLLM_WORKER_MULTIPROC_METHOD",
    "VLLM_PROCESS_NAME_PREFIX",
    "VLLM_LOGGING_LEVEL",
    "VLLM_PLUGINS",
    "VLLM_CPU_KVCACHE_SPACE",
    "VLLM_CPU_OMP_THREADS_BIND",
    # Sophgo
    "CHIP_MAP",
    "DISABLE_CACHE",
    "CMODEL_FAST_EXEC",
    "DEVICE",
    "ENABLE_PROFILE",
    # distributed runs
    "MASTER_ADDR",
    "MASTER_PORT",
    "WORLD_SIZE",
    "RANK",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    # CUDA
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING",
    # threads, allocators, the loader
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_PLACES",
    "GOMP_CPU_AFFINITY",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "MALLOC_CONF",
    "MALLOC_ARENA_MAX",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES",
    "PYTHONPATH",
    "PYTHONMALLOC",
)
"""Environment variables, of which the values are told. Of all others at most the names are."""

OPTIONS = (("PYTORCH_NPU_ALLOC_CONF", "max_split_size_mb"), ("PYTORCH_NPU_ALLOC_CONF", "expandable_segments"))
"""Variables of the form `option:value,...`, and the options that are facts of their own."""

FAMILIES = ("VLLM_", "HCCL_", "ASCEND_", "OMP_", "GOMP_", "KMP_", "MALLOC_", "TCMALLOC_", "PYTORCH_")
"""What a variable begins with whose name is told when it is set, though it is not in the list."""

FLAGS = (
    "async-scheduling",
    "disable-log-requests",
    "disable-log-stats",
    "enable-chunked-prefill",
    "enable-expert-parallel",
    "enable-log-requests",
    "enable-prefix-caching",
    "enforce-eager",
)
"""Arguments that need no value."""

ARGUMENTS = (
    *FLAGS,
    "additional-config",
    "api-server-count",
    "block-size",
    "compilation-config",
    "config",
    "cudagraph-capture-sizes",
    "data-parallel-size",
    "distributed-executor-backend",
    "dtype",
    "gpu-memory-utilization",
    "host",
    "kv-cache-dtype",
    "kv-transfer-config",
    "load-format",
    "max-model-len",
    "max-num-batched-tokens",
    "max-num-seqs",
    "model",
    "optimization-level",
    "pipeline-parallel-size",
    "port",
    "quantization",
    "revision",
    "scheduling-policy",
    "seed",
    "served-model-name",
    "speculative-config",
    "speculative-model",
    "swap-space",
    "tensor-parallel-size",
    "tokenizer",
)
"""Arguments that are facts; those with values as vLLM names them today."""

KEYS = (
    ("compilation-config", "cudagraph_mode"),
    ("compilation-config", "cudagraph_capture_sizes"),
    ("additional-config", "ascend_scheduler_config"),
)
"""Arguments that are JSON, and the keys of it that are facts of their own."""

ALIASES = {
    "O": "optimization-level",
    "cc": "compilation-config",
    "cuda-graph-sizes": "cudagraph-capture-sizes",
    "dp": "data-parallel-size",
    "ep": "enable-expert-parallel",
    "pp": "pipeline-parallel-size",
    "q": "quantization",
    "sc": "speculative-config",
    "tp": "tensor-parallel-size",
}
"""Short and former spellings of arguments."""

PACKAGES = ("vllm", "vllm-ascend", "torch", "torch-npu", "torch-tpu", "mindie-turbo")
"""Distributions whose versions are facts."""
