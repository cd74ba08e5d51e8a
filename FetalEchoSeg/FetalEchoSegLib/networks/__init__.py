"""Networks: EchoCare for training, its lean forward for inference, masks by view, import of foreign weights."""
