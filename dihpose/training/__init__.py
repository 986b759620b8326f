"""Training runs: what they are, the loop, validation, evaluation, finetuning on own data."""
