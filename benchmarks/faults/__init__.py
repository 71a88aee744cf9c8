"""What happens when things go wrong: torch's elastic multiprocessing and aelastic in the same fault scenarios."""
