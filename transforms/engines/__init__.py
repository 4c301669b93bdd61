"""The models that transforms call. The only inference code that imports vllm, transformers or openai."""
