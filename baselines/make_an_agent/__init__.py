"""Make-An-Agent (Liang et al., NeurIPS 2024, arXiv 2407.10973)."""
