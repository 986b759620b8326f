"""Tables and figures next to the paper's, verdicts on its claims, REPORT.md, and the execution of notebooks."""
