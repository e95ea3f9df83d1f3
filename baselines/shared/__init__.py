"""What several baselines are made of: configuration, training loops, conditioned policies, finetuning."""
