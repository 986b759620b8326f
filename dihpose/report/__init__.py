"""What is shown: tables and figures beside the paper, claims, notebooks executed, REPORT.md."""
